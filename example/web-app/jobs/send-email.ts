import type { FastifyInstance } from 'fastify'

export const mailSchema = {
  type: 'object',
  required: ['to', 'subject', 'text'],
  additionalProperties: false,
  properties: {
    to: { type: 'string', format: 'email' },
    subject: { type: 'string', minLength: 1 },
    text: { type: 'string' }
  }
} as const

export function defineSendEmail (app: FastifyInstance) {
  return app.jobs.define('send-email', {
    schema: mailSchema,
    attempts: 5,
    timeout: 10_000,
    retryable: (error) => error.code !== 'EENVELOPE' // the server refused the address
  }, async (mail, { signal, diScope }) => {
    await diScope.resolve('mailer').send(mail, { signal })
  })
}
