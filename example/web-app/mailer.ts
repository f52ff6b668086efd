import { createTransport } from 'nodemailer'

export interface Mail { to: string, subject: string, text: string }

export function createMailer (port: number) {
  const transport = createTransport({ host: '127.0.0.1', port, secure: false, ignoreTLS: true })
  return {
    async send (mail: Mail, { signal }: { signal: AbortSignal }) {
      signal.throwIfAborted()
      await transport.sendMail({ from: 'app@example.com', ...mail })
    }
  }
}

export type Mailer = ReturnType<typeof createMailer>

declare module '@fastify/awilix' {
  interface Cradle { mailer: Mailer }
}
