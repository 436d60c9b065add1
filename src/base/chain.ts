/**
 * Objects that come and go with connections and requests, in the order they came.
 *
 * A `Set` or `Map` would do but for the garbage collector of JavaScriptCore. When their table is made
 * anew, as it is once for every few members that left, the old one goes on referring to all it had.
 * As soon as one such table has grown old, a collection of young objects takes it for a root, though
 * nobody has it any more; so every member lives until the next full collection, and all that it refers
 * to. 64 connections that were replaced all the time kept 80 MB alive; collections took 50 ms in place of 1.
 */

/** What can be a member of one chain at a time. */
export abstract class Member {
  /** Of these three, for the chain alone to write. */
  chain: object | null = null;
  previous: this | null = null;
  next: this | null = null;
}

export class Chain<M extends Member> {
  /** The one that came first. */
  first: M | null = null;
  #last: M | null = null;
  size = 0;

  /** @param member of no chain */
  add(member: M): void {
    const last = this.#last;
    member.chain = this;
    member.previous = last;
    if (last === null) this.first = member;
    else last.next = member;
    this.#last = member;
    this.size++;
  }

  has(member: M): boolean {
    return member.chain === this;
  }

  /** @returns false if it was not in it */
  delete(member: M): boolean {
    if (member.chain !== this) return false;
    const { previous, next } = member;
    if (previous === null) this.first = next;
    else previous.next = next;
    if (next === null) this.#last = previous;
    else next.previous = previous;
    member.chain = null;
    member.previous = null;
    member.next = null;
    this.size--;
    return true;
  }

  /** Those that are in it now, whatever becomes of them meanwhile. */
  all(): M[] {
    const members: M[] = [];
    for (let member = this.first; member !== null; member = member.next) members.push(member);
    return members;
  }
}
