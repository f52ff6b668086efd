import { createHash, timingSafeEqual } from 'node:crypto'
import basicAuth from '@fastify/basic-auth'
import type { FastifyInstance } from 'fastify'

/**
 * Adds `app.basicAuth`, which lets the user 'admin' in with that password. The address of a request proves nothing: behind
 * a reverse proxy on the same host everybody comes from 127.0.0.1.
 */
export async function addAdminLogin (app: FastifyInstance, password: string) {
  const expected = digest(`admin:${password}`)
  await app.register(basicAuth, {
    authenticate: { realm: 'jobs' },
    async validate (user, given) {
      // Digests have one length, so the comparison takes as long for every wrong password.
      if (!timingSafeEqual(digest(`${user}:${given}`), expected)) throw new Error('Wrong user or password')
    }
  })
}

function digest (text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
