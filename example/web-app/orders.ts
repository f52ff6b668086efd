import type { DatabaseSync } from 'node:sqlite'
import type { Outbox } from '../../lib/outbox/index.ts'
import { inTransaction } from './database.ts'

export interface Order { email: string, item: string }

export const orderSchema = {
  type: 'object',
  required: ['email', 'item'],
  additionalProperties: false,
  properties: { email: { type: 'string', format: 'email', maxLength: 254 }, item: { type: 'string', minLength: 1, maxLength: 1000 } }
} as const

/** Takes orders from wherever they come: the order and the news of it are stored together, or not at all. */
export class OrderBook {
  readonly #db: DatabaseSync
  readonly #outbox: Outbox

  constructor (db: DatabaseSync, outbox: Outbox) {
    this.#db = db
    this.#outbox = outbox
  }

  place ({ email, item }: Order, source: 'http' | 'file' | 'tcp'): number {
    return inTransaction(this.#db, () => {
      const { lastInsertRowid } = this.#db.prepare('INSERT INTO orders (email, item, source, placed_at) VALUES (?, ?, ?, ?)')
        .run(email, item, source, Date.now())
      const orderId = Number(lastInsertRowid)
      this.#outbox.add(this.#db, 'order-placed', { orderId, email, item }, { key: email })
      return orderId
    })
  }

  countSince (time: number): number {
    return Number(this.#db.prepare('SELECT count(*) AS count FROM orders WHERE placed_at >= ?').get(time)!.count)
  }

  list () {
    return this.#db.prepare('SELECT id, email, item, source FROM orders ORDER BY id').all()
  }
}

declare module '@fastify/awilix' {
  interface Cradle { orders: OrderBook }
}
