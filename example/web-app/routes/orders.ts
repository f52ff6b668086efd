import type { FastifyInstance } from 'fastify'
import { orderSchema, type Order, type OrderBook } from '../orders.ts'

export function orderRoutes (app: FastifyInstance) {
  const orders = () => app.diContainer.resolve<OrderBook>('orders')

  app.post<{ Body: Order }>('/orders', { schema: { body: orderSchema } }, async (request, reply) =>
    reply.code(201).send({ orderId: orders().place(request.body, 'http') }))

  app.get('/orders', async () => orders().list())
}
