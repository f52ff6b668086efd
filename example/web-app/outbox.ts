import type { FastifyInstance } from 'fastify'
import outbox, { sqlite } from '../../lib/outbox/index.ts'
import type { Mailer } from './mailer.ts'

/** Tells customers about their orders, at least once: an order that is stored has its mail sent, by the next start if not by this one. */
export async function addOutbox (app: FastifyInstance, path: string) {
  await app.register(outbox, {
    store: sqlite({ path }),
    every: 200,
    publish: async ({ type, payload }, { signal }) => {
      if (type !== 'order-placed') return
      const { orderId, email, item } = payload as { orderId: number, email: string, item: string }
      // Not by a job in memory: that would end with the process, and the event is marked as published.
      await app.diContainer.resolve<Mailer>('mailer').send({
        to: email, subject: `Your order ${orderId}`, text: `Thank you for ordering: ${item}`
      }, { signal })
    }
  })
}
