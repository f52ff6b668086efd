import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Outbox, OutboxOptions } from '../../types/outbox.ts'
import { systemClock } from '../clock.ts'
import { isOwnError, OutboxUnavailableError } from '../errors.ts'
import { poll } from '../services/poll.ts'
import { destinationOf } from './destination.ts'
import { resolveOptions, type ResolvedOutboxOptions } from './options.ts'
import { OutboxFacade } from './outbox.ts'
import { Relay } from './relay.ts'
import type { OpenStore } from './store.ts'

async function outbox (instance: FastifyInstance, given: OutboxOptions): Promise<void> {
  const options = resolveOptions(given)
  const store = await open(options)
  let isClosed = false
  // The relay has stopped by then: services end before any plugin's onClose.
  instance.addHook('onClose', async () => {
    isClosed = true
    store.close()
  })

  const destination = destinationOf(options.destination, instance.jobs)
  const relay = new Relay(options, destination, store, systemClock)
  instance.jobs.service(options.name, poll(options.every, relay.pass))
  // Its one `add` does what each overload says, by the store that it has.
  instance.decorate('outbox', new OutboxFacade(store, destination, options.maxPayloadBytes, () => isClosed) as unknown as Outbox)

  const { metrics } = instance.jobs
  if (metrics === undefined) return
  const { publishMetrics, Source } = await import('./metrics.ts')
  const withdraw = publishMetrics(metrics, new Source(options.name, relay, store, systemClock))
  instance.addHook('onClose', async () => withdraw())
}

async function open ({ name, store }: ResolvedOutboxOptions): Promise<OpenStore> {
  try {
    return await store.open()
  } catch (error) {
    if (isOwnError(error)) throw error
    throw new OutboxUnavailableError(name, { cause: error })
  }
}

const plugin = fp(outbox, { fastify: '5.x', name: 'fastify-background-jobs-outbox', dependencies: ['fastify-background-jobs'] })

export default plugin
export { plugin as outbox }
export { postgres, type PostgresStoreOptions } from './postgres.ts'
export { sqlite, type SqliteStoreOptions } from './sqlite.ts'
export type * from '../../types/outbox.ts'
