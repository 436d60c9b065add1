/** One file of a TypeScript config: what its names stand for, what it exports. */
import { readFileSync } from "node:fs";
import { dirname, extname, join, relative, resolve } from "node:path";
import { Source } from "../../source.ts";
import { type Pushed, pushesOf } from "./pushes.ts";
import {
  type Assignment,
  accessed,
  type Expression,
  type Node_,
  nodesOf,
  type Program,
  parseProgram,
  parseValue,
  type Statement,
  type Written,
} from "./syntax.ts";

/** A name that is imported; "*" for all of the other file. */
export interface Imported {
  readonly from: string;
  readonly name: string;
}

/** What a statement names of another file; "" for nothing, as in `import "./x.ts"`. */
export interface Reference extends Imported {
  readonly node: Node_;
  /** The name of the other file. */
  readonly source: Node_;
}

type Exported = { readonly node: Written } | { readonly local: string } | Imported;

export class Module {
  readonly #program: Program | null;
  readonly #constants = new Map<string, Written>();
  readonly #imports = new Map<string, Imported>();
  readonly #exports = new Map<string, Exported>();
  readonly #stars: string[] = [];
  readonly references: Reference[] = [];
  #pushes: ReadonlyMap<string, Pushed> | null = null;
  #assigned: ReadonlyMap<string, readonly Assignment[]> | null = null;

  private constructor(
    readonly path: string,
    readonly source: Source,
    program: Program | null,
  ) {
    this.#program = program;
  }

  /** @returns null if the text cannot be parsed */
  static of(path: string, source: Source): Module | null {
    const text = source.text ?? "";
    if (extname(path) === ".json") {
      const value = parseValue(text);
      if (value === null) return null;
      const module = new Module(path, source, null);
      module.#exports.set("default", { node: value });
      return module;
    }
    const program = parseProgram(text, path);
    if (program === null) return null;
    const module = new Module(path, source, program);
    for (const statement of program.body) module.#take(statement);
    return module;
  }

  /** What a `const` of the file's top level begins as, or a function or class; null for other names. */
  constant(name: string): Written | null {
    return this.#constants.get(name) ?? null;
  }

  imported(name: string): Imported | null {
    return this.#imports.get(name) ?? null;
  }

  /** What is exported under a name; several places to look in if it is passed on. */
  exported(name: string): { readonly node: Written | null; readonly from: readonly Imported[] } {
    const known = this.#exports.get(name);
    if (known === undefined) {
      return { node: null, from: name === "default" ? [] : this.#stars.map((from) => ({ from, name })) };
    }
    if ("node" in known) return { node: known.node, from: [] };
    if ("from" in known) return { node: null, from: [known] };
    const imported = this.imported(known.local);
    return { node: this.constant(known.local), from: imported === null ? [] : [imported] };
  }

  names(): string[] {
    return [...this.#exports.keys()];
  }

  /** Nodes that pass, in the order they stand. */
  nodes(wanted: (node: Node_) => boolean): Node_[] {
    return this.#program === null ? [] : nodesOf(this.#program, wanted);
  }

  /** What is pushed to a list of the top level; null if nothing is, or if it is changed in other ways too. */
  pushed(name: string): Pushed | null {
    this.#pushes ??= pushesOf((wanted) => this.nodes(wanted), this.#statements());
    return this.#pushes.get(name) ?? null;
  }

  /** What is assigned to members of a name, of whatever object. */
  assigned(member: string): readonly Expression[] {
    this.#assigned ??= Map.groupBy(this.nodes(isAssignment).filter(isAssignment), ({ left }) =>
      left.type === "MemberExpression" ? String(accessed(left)) : "",
    );
    return this.#assigned.get(member)?.map(({ right }) => right) ?? [];
  }

  /** Expressions that are statements of the top level: each runs once, in its turn. */
  #statements(): ReadonlySet<Node_> {
    const statements = this.#program?.body ?? [];
    return new Set(statements.flatMap((one) => (one.type === "ExpressionStatement" ? [one.expression] : [])));
  }

  #take(statement: Statement): void {
    if ("source" in statement && statement.source != null) this.#refer(statement.source, "", statement);
    switch (statement.type) {
      case "VariableDeclaration":
        if (statement.kind !== "const") return;
        for (const { id, init } of statement.declarations)
          if (id.type === "Identifier" && init != null) this.#constants.set(id.name, init);
        return;
      case "FunctionDeclaration":
      case "ClassDeclaration":
        if (statement.id != null) this.#constants.set(statement.id.name, statement);
        return;
      case "ImportDeclaration":
        for (const specifier of statement.specifiers) {
          const name =
            specifier.type === "ImportSpecifier"
              ? nameOf(specifier.imported)
              : specifier.type === "ImportDefaultSpecifier"
                ? "default"
                : "*";
          this.#imports.set(specifier.local.name, { from: statement.source.value, name });
          this.#refer(statement.source, name, specifier);
        }
        return;
      case "ExportDefaultDeclaration": {
        const node = statement.declaration;
        if (node.type === "Identifier") this.#exports.set("default", { local: node.name });
        else if (node.type !== "TSDeclareFunction") this.#exports.set("default", { node });
        return;
      }
      case "TSExportAssignment":
        this.#exports.set("default", { node: statement.expression });
        return;
      case "ExpressionStatement": {
        const node = statement.expression;
        if (node.type === "AssignmentExpression" && isModuleExports(node.left))
          this.#exports.set("default", { node: node.right });
        return;
      }
      case "ExportAllDeclaration":
        this.#stars.push(statement.source.value);
        return;
      case "ExportNamedDeclaration":
        this.#named(statement);
        return;
    }
  }

  #named(statement: Extract<Statement, { type: "ExportNamedDeclaration" }>): void {
    const { declaration, specifiers, source } = statement;
    if (declaration != null) {
      const before = new Set(this.#constants.keys());
      this.#take(declaration);
      for (const name of this.#constants.keys()) if (!before.has(name)) this.#exports.set(name, { local: name });
    }
    for (const specifier of specifiers) {
      const name = nameOf(specifier.exported);
      if (source == null) {
        if (specifier.type === "ExportSpecifier") this.#exports.set(name, { local: specifier.local.name });
      } else {
        const other = specifier.type === "ExportSpecifier" ? nameOf(specifier.local) : "*";
        this.#exports.set(name, { from: source.value, name: other });
        this.#refer(source, other, specifier);
      }
    }
  }

  #refer(source: Node_ & { readonly value: string }, name: string, node: Node_): void {
    this.references.push({ from: source.value, name, node, source });
  }
}

const isAssignment = (node: Node_): node is Assignment =>
  node.type === "AssignmentExpression" && (node as Assignment).operator === "=";

const isModuleExports = (node: Node_ & { readonly object?: Node_; readonly property?: Node_ }): boolean =>
  node.type === "MemberExpression" && node.object?.name === "module" && node.property?.name === "exports";

const nameOf = (node: { type: string; name?: string; value?: unknown }): string => node.name ?? String(node.value);

/** The files of a config, each read once, when something in it is looked for. */
export class Modules {
  readonly main: Module | null;
  readonly #file: string;
  readonly #known = new Map<string, Module | null>();

  /** @param file  as shown in messages */
  constructor(file: string, text: string) {
    this.#file = file;
    this.main = Module.of(resolve(file), new Source(file, text));
  }

  /** All that can be reached from the config by relative imports, the config first. */
  all(): Module[] {
    const found = new Set(this.main === null ? [] : [this.main]);
    for (const module of found) {
      for (const { from } of module.references) {
        const other = this.find(from, module);
        if (other !== null) found.add(other);
      }
    }
    return [...found];
  }

  /** A file that another one imports by a relative path; null for packages, and for what cannot be read. */
  find(specifier: string, from: Module): Module | null {
    if (!/^\.{1,2}\//.test(specifier)) return null;
    const wanted = join(dirname(from.path), specifier);
    for (const path of spellings(wanted)) {
      if (path === this.main?.path) return this.main;
      const known = this.#known.get(path);
      if (known !== undefined) return known;
      const text = readText(path);
      if (text === null) continue;
      const module = Module.of(path, new Source(shownAs(this.#file, path), text));
      this.#known.set(path, module);
      return module;
    }
    return null;
  }
}

/** A file's name beside that of the config: relative if that one is. */
export function shownAs(config: string, path: string): string {
  return path === resolve(config) ? config : join(dirname(config), relative(dirname(resolve(config)), path));
}

const ENDINGS = [".ts", ".js", ".mts", ".mjs", ".json"];

/** What an import may mean: the file, one with an ending, an index. `x.js` may be what `x.ts` becomes. */
export function spellings(path: string): string[] {
  return [
    path,
    ...ENDINGS.map((ending) => path + ending),
    path.replace(/js$/, "ts"),
    ...ENDINGS.map((ending) => join(path, `index${ending}`)),
  ];
}

/** A file's text, or null if it cannot be read. */
export function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
