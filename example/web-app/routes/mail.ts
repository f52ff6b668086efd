import type { FastifyInstance } from 'fastify'
import { mailSchema } from '../jobs/send-email.ts'
import type { MailServer } from '../mail-server.ts'
import type { Mail } from '../mailer.ts'

export function mailRoutes (app: FastifyInstance, mailServer: MailServer) {
  app.post<{ Body: Mail }>('/send-email', { schema: { body: mailSchema } }, async (request, reply) => {
    const job = await request.jobs.enqueue('send-email', request.body)
    return reply.code(202).header('location', `/jobs/${job.id}`).send({ jobId: job.id })
  })

  app.get('/mailbox', async () => mailServer.mails.map(({ to, subject, text }) => ({
    to: to?.map(({ address }) => address), subject, text
  })))
}
