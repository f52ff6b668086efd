export interface Deferred<T> {
  readonly promise: Promise<T>
  resolve (value: T): void
}

/** A promise to resolve from outside: an event to wait for. */
export function deferred<T> (): Deferred<T> {
  let resolve!: (value: T) => void
  const promise = new Promise<T>((_resolve) => { resolve = _resolve })
  return { promise, resolve }
}
