import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { RETRY_AFTER_SECONDS } from '../errors.ts'

const REQUEST_START = 'http.server.request.start'

/** Adds `Retry-After` to the 503 that Fastify answers while it closes: it does so by itself, before any hook runs. */
export class RetryAfterWhileClosing {
  readonly #instance: FastifyInstance
  readonly #ports = new Set<number | undefined>()

  constructor (instance: FastifyInstance) {
    this.#instance = instance
  }

  begin (): void {
    this.#instance.server.prependListener('request', (_request, response) => setHeader(response))
    for (const address of this.#instance.addresses()) {
      if (typeof address === 'object') this.#ports.add(address.port)
    }
    if (this.#ports.size > 0) subscribe(REQUEST_START, this.#onRequest)
  }

  end (): void {
    unsubscribe(REQUEST_START, this.#onRequest)
  }

  // Listening on 'localhost', Fastify has a server an address and shows only one of them; they share its port.
  readonly #onRequest = (message: unknown): void => {
    const { request, response, server } = message as { request: IncomingMessage, response: ServerResponse, server: Server }
    if (server !== this.#instance.server && this.#ports.has(request.socket.localPort)) setHeader(response)
  }
}

function setHeader (response: ServerResponse): void {
  response.setHeader('retry-after', String(RETRY_AFTER_SECONDS))
}
