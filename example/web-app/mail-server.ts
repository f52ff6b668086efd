import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import PostalMime, { type Email } from 'postal-mime'
import { SMTPServer } from 'smtp-server'

const KEPT = 100

/** A real SMTP server for the example: it keeps the newest mails in memory. */
export async function startMailServer (port = 0) {
  const mails: Email[] = []
  const smtp = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS', 'AUTH'],
    onData (stream, _session, done) {
      buffer(stream).then((raw) => PostalMime.parse(raw)).then((mail) => {
        mails.push(mail)
        if (mails.length > KEPT) mails.shift()
        done()
      }).catch(done)
    }
  })
  const server = smtp.listen(port, '127.0.0.1')
  if (!server.listening) await once(server, 'listening')
  return {
    mails,
    port: (server.address() as AddressInfo).port,
    close: () => new Promise<void>((resolve) => smtp.close(() => resolve()))
  }
}

export type MailServer = Awaited<ReturnType<typeof startMailServer>>
