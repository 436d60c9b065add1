/** An expression of a config, and what looking into one finds. */
import type { Module } from "./module.ts";
import type { Node_, Written } from "./syntax.ts";

/** An expression with what its names stand for. */
export interface Place {
  readonly module: Module;
  readonly node: Written;
  /** Names of the functions it stands in: what they were called with, null if that is not known. */
  readonly scope: Scope;
  /** In a function or a loop, so that it may stand for several values. */
  readonly shared: boolean;
  /** The constant that begins as this. */
  readonly constant: string | null;
}

export type Scope = ReadonlyMap<string, Place | null>;

export type Finding =
  /** `key` is null for an item of a list. */
  | { readonly kind: "found"; readonly key: Node_ | null; readonly value: Place }
  /** It comes out of `value`, nobody knows from where in it. */
  | { readonly kind: "inside"; readonly value: Place }
  | { readonly kind: "absent" }
  | { readonly kind: "unknown" };

const NO_NAMES: Scope = new Map();
export const ABSENT: Finding = { kind: "absent" };
export const UNKNOWN: Finding = { kind: "unknown" };

/** At the top level of a file. */
export const topLevel = (module: Module, node: Written, constant: string | null = null): Place => ({
  module,
  node,
  scope: NO_NAMES,
  shared: false,
  constant,
});

/** A part of an expression. */
export const within = (whole: Place, node: Written): Place => ({ ...whole, node, constant: null });
