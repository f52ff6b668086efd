import { memory, type Backend, type Clock, type Consumer, type Deliver, type Delivery, type Outcome } from '../../lib/index.ts'

/** An app's way to the store, which its death cuts. */
export interface SharedBackend {
  readonly backend: Backend
  /** The process is gone: it takes no more jobs, and nothing that it asks for is done. */
  kill (): void
}

/** A durable store in this process, which several apps share: every app gets a backend of its own from `connect`. */
export function sharedStore (clock: Clock): { connect (): SharedBackend } {
  const store = memory({ serialize: true })
  const consumers: Deliver[] = []
  let opened: Promise<void> | undefined
  let consumed = false
  let turn = 0

  async function handOver (delivery: Delivery, settle: (delivery: Delivery, outcome: Outcome) => void): Promise<void> {
    const deliver = consumers[turn++ % consumers.length]!
    settle(delivery, await deliver({ envelope: delivery.envelope, signal: new AbortController().signal }))
  }

  function connect (): SharedBackend {
    let deliverToMe: Deliver | undefined
    let alive = true
    const stop = (): void => {
      if (deliverToMe !== undefined && consumers.includes(deliverToMe)) consumers.splice(consumers.indexOf(deliverToMe), 1)
    }
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
        consumers.push(deliverToMe = deliver)
        if (!consumed) store.consume(queue, options, handOver as never)
        consumed = true
        return { pause () {}, resume () {}, async stop () { stop() } }
      },
      abandon: () => [],
      async close () {}
    } satisfies Backend
    return { backend, kill () { alive = false; stop() } }
  }

  return { connect }
}
