/** `tcp` passes if the endpoint takes a connection. Nothing is sent. */
import { connect } from "node:net";
import { z } from "zod";
import { ask, destination, socketReason } from "./ask.ts";
import { defineCheck } from "./check.ts";

export const tcp = defineCheck({
  name: "tcp",
  summary: "Passes if the endpoint takes a connection.",
  options: z.strictObject({}),
  create: () => ({
    run: ({ address }, timeoutMs) =>
      ask(timeoutMs, (settle) => {
        const socket = connect(destination(address));
        socket.once("connect", () => settle(null));
        socket.on("error", (error) => settle(socketReason(error, "connecting")));
        return {
          release: () => socket.destroy(),
          late: (span) => `no connection within ${span}`,
        };
      }),
  }),
});
