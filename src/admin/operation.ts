/** What an operation of the admin API is. The server, the OpenAPI document and the tests read the same list of them. */
import { z } from "zod";
import type { Control } from "../server/control.ts";
import type { ProblemKind } from "./problem.ts";

export type Method = "GET" | "POST" | "PATCH" | "DELETE";

/**
 * Who may call it over TCP while no token is set: `read` everybody, `private` (what it shows) and
 * `change` (what it does) nobody.
 */
export type Access = "read" | "private" | "change";

export interface Operation {
  /** camelCase: clients are generated with it. */
  readonly id: string;
  readonly method: Method;
  /** With parameters as {name}; each is one segment, percent-encoded. */
  readonly path: string;
  /** One sentence. */
  readonly summary: string;
  readonly access: Access;
  readonly params: z.ZodObject;
  readonly query: z.ZodObject;
  /** null: it takes no content. */
  readonly content: z.ZodType | null;
  readonly status: 200 | 201 | 202;
  readonly result: z.ZodType;
  /** Besides those that every operation has. */
  readonly problems: readonly ProblemKind[];
  /** @throws {Problem | DirectoryError | ControlError} */
  run(call: Call): unknown;
}

export interface Call {
  readonly control: Control;
  readonly params: unknown;
  readonly query: unknown;
  readonly content: unknown;
}

const NOTHING = z.strictObject({});

interface Typed<P extends z.ZodObject, Q extends z.ZodObject, C extends z.ZodType, R extends z.ZodType> {
  readonly id: string;
  readonly method: Method;
  readonly path: string;
  readonly summary: string;
  readonly access: Access;
  readonly params?: P;
  readonly query?: Q;
  readonly content?: C;
  readonly status?: Operation["status"];
  readonly result: R;
  readonly problems?: readonly ProblemKind[];
  run(call: {
    readonly control: Control;
    readonly params: z.output<P>;
    readonly query: z.output<Q>;
    readonly content: z.output<C>;
  }): Frozen<z.output<R>> | Promise<Frozen<z.output<R>>>;
}

/** Gives `run` the types of the schemas; what it is called with has been read by them. */
export function operation<
  P extends z.ZodObject = typeof NOTHING,
  Q extends z.ZodObject = typeof NOTHING,
  C extends z.ZodType = z.ZodNever,
  R extends z.ZodType = z.ZodType,
>({ params, query, content, status = 200, problems = [], ...typed }: Typed<P, Q, C, R>): Operation {
  return {
    ...typed,
    params: params ?? NOTHING,
    query: query ?? NOTHING,
    content: content ?? null,
    status,
    problems,
    run: typed.run as Operation["run"],
  };
}

/** As views are typed: read-only all the way down. */
export type Frozen<T> = T extends readonly (infer Item)[]
  ? readonly Frozen<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: Frozen<T[Key]> }
    : T;
