import { memory, type Backend } from '../../lib/index.ts'
import { InvalidOptionsError } from '../../lib/errors.ts'
import type { ConformanceTarget } from '../conformance/target.ts'

/** What a backend does otherwise than the memory backend, whose own methods it is given. */
export type Change = (backend: Backend) => Partial<Backend>

/** Memory that outlives its apps, though not the process: one store a space, for apps that come after one another. */
export function durableMemory (change: Change = () => ({})): ConformanceTarget {
  const stores = new Map<string, { readonly backend: Backend, readonly removed: AbortController, opened?: Promise<void> }>()
  return {
    connect (space) {
      const store = stores.get(space) ?? { backend: memory({ serialize: true }), removed: new AbortController() }
      stores.set(space, store)
      let mine = false
      const plain = {
        ...bound(store.backend),
        capabilities: { ...store.backend.capabilities, durable: true },
        abandon: () => [],
        async open (context) {
          if (mine) throw new InvalidOptionsError("backend 'memory': another app has opened it")
          mine = true
          await (store.opened ??= store.backend.open({ ...context, stopping: AbortSignal.any([context.stopping, store.removed.signal]) }))
        },
        async close () {}
      } satisfies Backend
      return { ...plain, ...change(plain) }
    },
    async remove (space) {
      const { backend, removed } = stores.get(space)!
      // Enqueues that still wait for room would keep the process alive.
      removed.abort(new Error('the store is removed'))
      await backend.close()
      stores.delete(space)
    }
  }
}

function bound (backend: Backend): Backend & Required<Pick<Backend, 'find' | 'listDead' | 'retry' | 'remove' | 'cancel'>> {
  return {
    name: backend.name,
    capabilities: backend.capabilities,
    open: backend.open.bind(backend),
    enqueue: backend.enqueue.bind(backend),
    consume: backend.consume.bind(backend),
    stats: backend.stats.bind(backend),
    abandon: backend.abandon.bind(backend),
    close: backend.close.bind(backend),
    find: backend.find!.bind(backend),
    listDead: backend.listDead!.bind(backend),
    retry: backend.retry!.bind(backend),
    remove: backend.remove!.bind(backend),
    cancel: backend.cancel!.bind(backend)
  }
}
