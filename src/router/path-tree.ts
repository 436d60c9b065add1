/** A site's path patterns as a radix tree, while it is built; path-index.ts writes it into its array and says what the entries are. */

export class TreeNode {
  /** Text of the branch that leads here; "" at the root and after a param. */
  label: string;
  readonly children: TreeNode[] = [];
  /** Takes a segment that is not empty. */
  param: TreeNode | null = null;
  /** Entries of those whose pattern ends here, in order. */
  readonly ends: number[] = [];
  /** Entries of those that take whatever follows, in order. */
  readonly rests: number[] = [];
  #least: number | null = null;

  constructor(label: string) {
    this.label = label;
  }

  /** The node below that the text leads to; makes and splits branches as needed. */
  descend(text: string): TreeNode {
    if (text === "") return this;
    const at = this.children.findIndex((child) => child.label[0] === text[0]);
    const child = this.children[at];
    if (child === undefined) {
      const leaf = new TreeNode(text);
      this.children.push(leaf);
      return leaf;
    }
    let common = 1;
    while (common < child.label.length && common < text.length && child.label[common] === text[common]) common++;
    if (common === child.label.length) return child.descend(text.slice(common));
    const middle = new TreeNode(child.label.slice(0, common));
    this.children[at] = middle;
    child.label = child.label.slice(common);
    middle.children.push(child);
    return middle.descend(text.slice(common));
  }

  descendParam(): TreeNode {
    this.param ??= new TreeNode("");
    return this.param;
  }

  /** The lowest entry here and below. Only once the tree is complete: it is found out once. */
  least(): number {
    if (this.#least === null) {
      let least = Math.min(this.ends[0] ?? Infinity, this.rests[0] ?? Infinity, this.param?.least() ?? Infinity);
      for (const child of this.children) least = Math.min(least, child.least());
      this.#least = least;
    }
    return this.#least;
  }
}
