import type { FastifyInstance } from 'fastify'
import outbox, { sqlite } from '../../lib/outbox/index.ts'

/** Tells customers about their orders: once an order is stored its mail is on its way, whatever happens to this process. */
export async function addOutbox (app: FastifyInstance, path: string) {
  await app.register(outbox, {
    store: sqlite({ path }),
    every: 200,
    publish: async ({ id, type, payload }) => {
      if (type !== 'order-placed') return
      const { orderId, email, item } = payload as { orderId: number, email: string, item: string }
      // The event's id is the job's: an event that is published twice is mailed once.
      await app.jobs.enqueue('send-email', { to: email, subject: `Your order ${orderId}`, text: `Thank you for ordering: ${item}` }, { id })
    }
  })
}
