/** Options of `files`. */
import { z } from "zod";
import { oneOrMany } from "../../base/option.ts";
import { constantValueOption } from "../field-value.ts";

const root = z
  .string()
  .min(1, "files needs a folder")
  .meta({
    description: "Folder with the files; from the folder of the config if not absolute.",
    examples: ["./public"],
  });

const fileName = z
  .string()
  .meta({ description: "Name of a file." })
  .refine((name) => name !== "" && !/[/\0]/.test(name) && name !== "." && name !== "..", {
    message: "must be the name of a file, without a folder",
  });

const full = z.strictObject({
  root,
  index: oneOrMany(fileName)
    .prefault(["index.html"])
    .meta({ description: "Files that stand for their folder; the first that is there is sent. [] for none." }),
  fallback: z
    .string()
    .regex(/^(?!.*(?:\/\/|\/\.\.?(?:\/|$)|[\\\0]))\//, "must be a path below the root that begins with /")
    .optional()
    .meta({
      description: "Sent where there is no file, for applications that route by themselves.",
      examples: ["/index.html"],
    }),
  precompressed: z
    .array(z.enum(["br", "zstd", "gzip"]))
    .default([])
    .meta({
      description:
        "Codings of which there may be a sibling (.br, .zst, .gz) to send instead; where the client likes several equally, the first wins.",
    }),
  hidden: z
    .boolean()
    .default(false)
    .meta({ description: "Send files and folders whose name begins with a dot. `/.well-known/` is never hidden." }),
  followSymlinks: z.boolean().default(false).meta({ description: "Follow symbolic links that lead out of the root." }),
  cacheControl: constantValueOption("Value of Cache-Control.").optional(),
  mime: z
    .record(z.string(), constantValueOption("Content-Type."))
    .default({})
    .meta({
      description: "Content-Type by extension, over the built-in ones.",
      examples: [{ map: "application/json" }],
    }),
  next: z
    .boolean()
    .default(false)
    .meta({ description: "Hand a request without a file to the next handler instead of answering 404." }),
});

export const filesOptions = z
  .union([root, full])
  .transform((value) => (typeof value === "string" ? full.parse({ root: value }) : value))
  .meta({ description: "The folder, or an object for more." });

export type FilesOptions = z.output<typeof filesOptions>;
export type Coding = FilesOptions["precompressed"][number];
