/** Every middleware there is. A new one is a folder beside this file and its line here. */
import type { MiddlewareDefinition } from "../http/define.ts";
import { bodyLimit } from "./body-limit/body-limit.ts";
import { errorPages } from "./error-pages/error-pages.ts";
import { files } from "./files/files.ts";
import { grpcWeb } from "./grpc-web/grpc-web.ts";
import { headers } from "./headers/headers.ts";
import { redirect } from "./redirect/redirect.ts";
import { requestId } from "./request-id/request-id.ts";
import { respond } from "./respond/respond.ts";
import { rewrite } from "./rewrite/rewrite.ts";
import { timeouts } from "./timeouts/timeouts.ts";

export const middlewares: readonly MiddlewareDefinition[] = [
  bodyLimit,
  errorPages,
  files,
  grpcWeb,
  headers,
  redirect,
  requestId,
  respond,
  rewrite,
  timeouts,
];
