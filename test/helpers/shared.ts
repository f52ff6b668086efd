import type { Consumer, Deliver, Delivery, Outcome } from '../../lib/backends/index.ts'
import { memory, type Backend, type Clock } from '../../lib/index.ts'

/** An app's way to the store, which its death cuts. */
export interface SharedBackend {
  readonly backend: Backend
  /** The process is gone: it takes no more jobs, and nothing that it asks for is done. */
  kill (): void
}

/** A durable store in this process, which several apps share: every app gets a backend of its own from `connect`. */
export function sharedStore (clock: Clock): { connect (): SharedBackend } {
  const store = memory({ serialize: true })
  /** Of each queue that somebody works on, whoever does. */
  const consumers = new Map<string, Deliver[]>()
  let opened: Promise<void> | undefined
  let turn = 0

  /** The queue's jobs go to its consumers by turns. */
  function consumersOf (queue: string, options: { concurrency: number }): Deliver[] {
    const known = consumers.get(queue)
    if (known !== undefined) return known
    const delivers: Deliver[] = []
    consumers.set(queue, delivers)
    async function handOver (delivery: Delivery, settle: (delivery: Delivery, outcome: Outcome) => void): Promise<void> {
      const deliver = delivers[turn++ % delivers.length]!
      settle(delivery, await deliver({ envelope: delivery.envelope, signal: new AbortController().signal }))
    }
    store.consume(queue, options, handOver as never)
    return delivers
  }

  function connect (): SharedBackend {
    const stops: (() => void)[] = []
    let alive = true
    function cut<Args extends unknown[], Answer> (method: (...args: Args) => Answer): (...args: Args) => Answer | Promise<never> {
      return (...args) => alive ? method.apply(store, args) : new Promise<never>(() => {})
    }
    const backend = {
      ...store,
      name: 'shared',
      capabilities: { ...store.capabilities, durable: true },
      open (context) {
        opened ??= store.open({ ...context, clock, stopping: new AbortController().signal })
        return opened
      },
      enqueue: cut(store.enqueue),
      find: cut(store.find!),
      listDead: cut(store.listDead!),
      retry: cut(store.retry!),
      remove: cut(store.remove!),
      cancel: cut(store.cancel!),
      stats: (queue) => store.stats(queue),
      consume (queue, options, deliver): Consumer {
        const delivers = consumersOf(queue, options)
        delivers.push(deliver)
        const stop = (): void => { if (delivers.includes(deliver)) delivers.splice(delivers.indexOf(deliver), 1) }
        stops.push(stop)
        return { pause () {}, resume () {}, async stop () { stop() } }
      },
      abandon: () => [],
      async close () {}
    } satisfies Backend
    return { backend, kill () { alive = false; for (const stop of stops) stop() } }
  }

  return { connect }
}
