/** Every operation, in the order of the document. */
import { z } from "zod";
import { openApiDocument } from "../openapi.ts";
import { type Operation, operation } from "../operation.ts";
import { getCertificatesFor, listCertificates } from "./certificates.ts";
import { diffVersions, getVersion, listVersions, reload, rollback, upgrade } from "./config.ts";
import { getClients, getStats, getStatus } from "./status.ts";
import {
  addEndpoint,
  changeEndpoint,
  getUpstream,
  listUpstreams,
  removeEndpoint,
  restoreEndpoint,
} from "./upstreams.ts";

const getDocument = operation({
  id: "getDocument",
  method: "GET",
  path: "/v1/openapi.json",
  summary: "This document.",
  access: "read",
  result: z.record(z.string(), z.unknown()),
  run: ({ control }): Readonly<Record<string, unknown>> => openApiDocument(operations, control.version),
});

export const operations: readonly Operation[] = [
  getStatus,
  getStats,
  getClients,
  listUpstreams,
  getUpstream,
  addEndpoint,
  changeEndpoint,
  removeEndpoint,
  restoreEndpoint,
  listCertificates,
  getCertificatesFor,
  reload,
  listVersions,
  getVersion,
  diffVersions,
  rollback,
  upgrade,
  getDocument,
];
