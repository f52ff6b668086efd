import type { FastifyInstance } from 'fastify'

/**
 * Calls `onClose` when the app's `close` is called. Fastify has no hook for that moment: its hooks run once the app is ready, and a service
 * whose start takes long would hear of the close only when it has started. Fastify 5 keeps `close` as a property of the root instance.
 */
export function watchClose (root: FastifyInstance, onClose: () => void): void {
  const { close } = root
  root.close = function (this: FastifyInstance, ...args: Parameters<typeof close>) {
    onClose()
    return close.apply(this, args)
  } as typeof close
}
