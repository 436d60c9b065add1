/** Operations that show certificates; never their keys. */
import { z } from "zod";
import type { CertificateView } from "../../server/certificate-view.ts";
import { operation } from "../operation.ts";
import { certificate, certificatesFor, missingCertificate } from "../schemas.ts";
import { isoTime } from "./status.ts";

export const listCertificates = operation({
  id: "listCertificates",
  method: "GET",
  path: "/v1/certificates",
  summary: "All certificates that clients may be shown.",
  access: "read",
  result: z.strictObject({
    certificates: z.array(certificate),
    missing: z.array(missingCertificate).meta({ description: "Names whose certificates are still to be got." }),
  }),
  run: ({ control }) => ({
    certificates: control.certificates().map(shown),
    missing: control.missingCertificates().map((one) => ({ ...one, nextTry: isoTime(one.nextTry) })),
  }),
});

export const getCertificatesFor = operation({
  id: "getCertificatesFor",
  method: "GET",
  path: "/v1/certificates/{name}",
  summary: "What clients are shown who ask for a name, by listener.",
  access: "read",
  params: z.strictObject({ name: z.string().min(1).max(255).meta({ description: "Host name that is asked for." }) }),
  result: certificatesFor,
  run({ control, params }) {
    const { listeners, ...more } = control.certificatesFor(params.name.toLowerCase().replace(/\.$/, ""));
    return {
      ...more,
      listeners: listeners.map((one) => ({ ...one, certificates: one.certificates.map(shown) })),
    };
  },
});

function shown({ notBefore, notAfter, renewal, ...certificate }: CertificateView) {
  return {
    ...certificate,
    notBefore: isoTime(notBefore),
    notAfter: isoTime(notAfter),
    renewal: renewal === null ? null : isoTime(renewal),
  };
}
