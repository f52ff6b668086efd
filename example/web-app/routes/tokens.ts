import { randomUUID } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'
import type { FastifyInstance } from 'fastify'

export function tokenRoutes (app: FastifyInstance, db: DatabaseSync) {
  app.post<{ Querystring: { seconds: number } }>('/tokens', {
    schema: { querystring: { type: 'object', properties: { seconds: { type: 'integer', minimum: 0, maximum: 31_536_000, default: 3600 } } } }
  }, async (request, reply) => {
    const token = randomUUID()
    db.prepare('INSERT INTO tokens (token, expires_at) VALUES (?, ?)').run(token, Date.now() + request.query.seconds * 1000)
    return reply.code(201).send({ token })
  })

  app.get('/tokens', async () => db.prepare('SELECT count(*) AS count FROM tokens').get())
}
