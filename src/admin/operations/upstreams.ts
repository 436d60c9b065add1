/** Operations on upstreams and their endpoints. */
import { z } from "zod";
import { duration } from "../../base/option.ts";
import { readEndpointAddress } from "../../config/address.ts";
import { fullEndpoint } from "../../config/schema/upstream.ts";
import type { Control } from "../../server/control.ts";
import type { EndpointView } from "../../server/endpoint-view.ts";
import type { UpstreamView } from "../../server/upstream-directory.ts";
import { operation } from "../operation.ts";
import { Problem } from "../problem.ts";
import { upstream } from "../schemas.ts";
import { isoTime } from "./status.ts";

const name = z.string().min(1).meta({ description: "Name of the upstream." });
const address = z
  .string()
  .min(1)
  .meta({
    description: "Address of the endpoint, percent-encoded.",
    examples: ["10.0.0.2:8080", "unix%3A%2Frun%2Fapp.sock"],
  });
const OF_UPSTREAM = z.strictObject({ name });
const OF_ENDPOINT = z.strictObject({ name, address });

const PERSIST = "Keep what operators said of this endpoint over restarts. Default: as before, at first not.";

export const listUpstreams = operation({
  id: "listUpstreams",
  method: "GET",
  path: "/v1/upstreams",
  summary: "All upstreams with their endpoints.",
  access: "read",
  result: z.strictObject({ upstreams: z.array(upstream) }),
  run: ({ control }) => ({ upstreams: control.upstreams.views().map(shown) }),
});

export const getUpstream = operation({
  id: "getUpstream",
  method: "GET",
  path: "/v1/upstreams/{name}",
  summary: "One upstream with its endpoints.",
  access: "read",
  params: OF_UPSTREAM,
  result: upstream,
  problems: ["unknown-upstream"],
  run: ({ control, params }) => shown(control.upstreams.view(params.name)),
});

export const addEndpoint = operation({
  id: "addEndpoint",
  method: "POST",
  path: "/v1/upstreams/{name}/endpoints",
  summary: "Adds an endpoint, written as in the config.",
  access: "change",
  params: OF_UPSTREAM,
  content: fullEndpoint.extend({ persist: z.boolean().optional().meta({ description: PERSIST }) }),
  status: 201,
  result: upstream,
  problems: ["unknown-upstream", "endpoint-exists", "no-room"],
  run({ control, params, content: { persist = null, ...spec } }) {
    control.upstreams.add(
      params.name,
      { ...spec, locality: spec.locality ?? null, maxInFlight: spec.maxInFlight ?? Number.POSITIVE_INFINITY },
      persist,
    );
    const view = control.upstreams.view(params.name);
    if (view.endpoints.some((one) => one.address === spec.address)) return shown(view);
    control.upstreams.restore(params.name, spec.address);
    throw new Problem("no-room", "the shared memory has no room for another endpoint", {
      hint: "raise zone.endpoints in the config; that takes a restart or an upgrade",
    });
  },
});

export const removeEndpoint = operation({
  id: "removeEndpoint",
  method: "DELETE",
  path: "/v1/upstreams/{name}/endpoints/{address}",
  summary: "Takes an endpoint out, also if the config or a provider names it. What is in flight there finishes.",
  access: "change",
  params: OF_ENDPOINT,
  query: z.strictObject({ persist: z.enum(["true", "false"]).optional().meta({ description: PERSIST }) }),
  result: upstream,
  problems: ["unknown-upstream", "unknown-endpoint"],
  run({ control, params, query: { persist } }) {
    control.upstreams.remove(params.name, known(control, params), persist === undefined ? null : persist === "true");
    return shown(control.upstreams.view(params.name));
  },
});

export const changeEndpoint = operation({
  id: "changeEndpoint",
  method: "PATCH",
  path: "/v1/upstreams/{name}/endpoints/{address}",
  summary: "Changes the weight of an endpoint, drains, disables or enables it.",
  access: "change",
  params: OF_ENDPOINT,
  content: z
    .strictObject({
      weight: z
        .int()
        .min(0)
        .max(1000)
        .nullable()
        .optional()
        .meta({ description: "Share of the exchanges; null: as the config or the provider says." }),
      duty: z.enum(["enabled", "draining", "disabled"]).optional().meta({
        description:
          "`draining`: finishes what it has and gets only what is bound to it (sticky). `disabled`: gets nothing at all.",
      }),
      deadline: duration(
        "With `draining`: after this time what is bound to it goes elsewhere too. Default: never.",
      ).optional(),
      persist: z.boolean().optional().meta({ description: PERSIST }),
    })
    .superRefine(({ weight, duty, deadline }, ctx) => {
      if (weight === undefined && duty === undefined && deadline === undefined)
        ctx.addIssue({ code: "custom", message: "nothing is asked for", params: { hint: 'give "weight" or "duty"' } });
      if (deadline !== undefined && duty !== "draining")
        ctx.addIssue({
          code: "custom",
          path: ["deadline"],
          message: '"deadline" is for draining',
          params: { hint: 'give "duty": "draining" with it' },
        });
    }),
  result: upstream,
  problems: ["unknown-upstream", "unknown-endpoint"],
  run({ control, params, content: { weight, duty, deadline = Number.POSITIVE_INFINITY, persist = null } }) {
    const endpoint = known(control, params);
    const { upstreams } = control;
    if (weight !== undefined) upstreams.weigh(params.name, endpoint, weight, persist);
    if (duty !== undefined) upstreams.setDuty(params.name, endpoint, duty, deadline, persist);
    return shown(upstreams.view(params.name));
  },
});

export const restoreEndpoint = operation({
  id: "restoreEndpoint",
  method: "POST",
  path: "/v1/upstreams/{name}/endpoints/{address}/restore",
  summary: "Forgets what operators said of an endpoint: it is as the config and the providers say.",
  access: "change",
  params: OF_ENDPOINT,
  result: upstream,
  problems: ["unknown-upstream"],
  run({ control, params }) {
    control.upstreams.restore(params.name, known(control, params));
    return shown(control.upstreams.view(params.name));
  },
});

/** The address as the upstream has it, whatever the case of its letters. */
function known({ upstreams }: Control, params: z.output<typeof OF_ENDPOINT>): string {
  const { endpoints } = upstreams.view(params.name);
  if (endpoints.some((one) => one.address === params.address)) return params.address;
  const reading = readEndpointAddress(params.address);
  return "text" in reading ? reading.text : params.address;
}

const shown = (view: UpstreamView) => ({ ...view, endpoints: view.endpoints.map(shownEndpoint) });

function shownEndpoint({ drainUntil, ...endpoint }: EndpointView) {
  return { ...endpoint, drainUntil: drainUntil === null ? null : isoTime(drainUntil) };
}
