/** A member of a list; it is in one list at a time. */
export interface Linked<T> {
  prev: T | undefined
  next: T | undefined
}

/** Intrusive doubly linked list: O(1) push, shift, unshift, pop and remove, no allocation. */
export class LinkedList<T extends Linked<T>> {
  first: T | undefined
  last: T | undefined
  size = 0

  push (item: T): void {
    item.prev = this.last
    if (this.last === undefined) this.first = item
    else this.last.next = item
    this.last = item
    this.size++
  }

  unshift (item: T): void {
    item.next = this.first
    if (this.first === undefined) this.last = item
    else this.first.prev = item
    this.first = item
    this.size++
  }

  shift (): T | undefined {
    const item = this.first
    if (item !== undefined) this.remove(item)
    return item
  }

  /** `item` must be a member. */
  remove (item: T): void {
    if (item.prev === undefined) this.first = item.next
    else item.prev.next = item.next
    if (item.next === undefined) this.last = item.prev
    else item.next.prev = item.prev
    item.prev = undefined
    item.next = undefined
    this.size--
  }

  * [Symbol.iterator] (): Generator<T> {
    for (let item = this.first; item !== undefined; item = item.next) yield item
  }
}
