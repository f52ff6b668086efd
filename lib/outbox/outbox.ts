import type { AddOptions, ParkedEvent } from '../../types/outbox.ts'
import { encodePayload } from '../envelope.ts'
import { ClosedError, InvalidOptionsError, kindOf } from '../errors.ts'
import { uuid } from '../uuid.ts'
import { object, optionsCheck } from '../validation.ts'
import type { Destination } from './destination.ts'
import type { NewEvent, OpenStore } from './store.ts'

// PostgreSQL has a limit for what it indexes, and no NUL in a text.
const checkAddOptions = optionsCheck(object({ key: { type: 'string', maxLength: 255, pattern: '^[^\\0]*$' } }))
const checkListOptions = optionsCheck(object({ limit: { type: 'integer', minimum: 0 } }))
const TYPE = /^[^\0]{1,255}$/u

/** `fastify.outbox`: checks what it is given and hands it to the store. */
export class OutboxFacade {
  readonly #store: OpenStore
  readonly #destination: Destination
  readonly #maxPayloadBytes: number
  readonly parked

  constructor (store: OpenStore, destination: Destination, maxPayloadBytes: number, isClosed: () => boolean) {
    this.#store = store
    this.#destination = destination
    this.#maxPayloadBytes = maxPayloadBytes
    const assertOpen = (call: string): void => {
      if (isClosed()) throw new ClosedError(`outbox.parked.${call}`)
    }
    this.parked = {
      list: async (options: { limit?: number } = {}): Promise<ParkedEvent[]> => {
        checkListOptions(options, 'call of outbox.parked.list')
        assertOpen('list()')
        return store.listParked(options.limit ?? 100)
      },
      retry: async (id: string): Promise<boolean> => {
        checkId(id, 'retry')
        assertOpen(`retry('${id}')`)
        return store.retryParked(id)
      },
      remove: async (id: string): Promise<boolean> => {
        checkId(id, 'remove')
        assertOpen(`remove('${id}')`)
        return store.removeParked(id)
      }
    }
  }

  // As its store does it: with a promise or at once, errors included.
  add (tx: unknown, type: string, payload: unknown, options?: AddOptions): Promise<string> | string {
    return this.#store.add(tx, () => this.#newEvent(type, payload, options))
  }

  #newEvent (type: unknown, payload: unknown, options: AddOptions = {}): NewEvent {
    if (typeof type !== 'string') throw new InvalidOptionsError(`call of outbox.add: the type must be a string, got ${kindOf(type)}`)
    if (!TYPE.test(type)) throw new InvalidOptionsError(`call of outbox.add: the type must have 1 to 255 characters and no NUL, got ${type.length} characters`)
    checkAddOptions(options, `outbox.add of event '${type}'`)
    const event = { id: uuid(), type, key: options.key ?? '', payload: encodePayload(`event '${type}'`, payload, this.#maxPayloadBytes) }
    this.#destination.check(event)
    return event
  }
}

function checkId (id: unknown, call: string): void {
  if (typeof id !== 'string') throw new InvalidOptionsError(`call of outbox.parked.${call}: the id must be a string, got ${kindOf(id)}`)
}
