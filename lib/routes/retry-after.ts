import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { RETRY_AFTER_SECONDS } from '../errors.ts'

const REQUEST_START = 'http.server.request.start'

/** Adds `Retry-After` to the 503 that Fastify answers while it closes: it does so by itself, before any hook runs. */
export class RetryAfterWhileClosing {
  readonly #instance: FastifyInstance
  /** Addresses with their ports. */
  readonly #listeners = new Set<string>()

  constructor (instance: FastifyInstance) {
    this.#instance = instance
  }

  begin (): void {
    this.#instance.server.prependListener('request', (_request, response) => addHeader(response))
    for (const listener of this.#instance.addresses()) {
      if (typeof listener === 'object') this.#listeners.add(`${listener.address} ${listener.port}`)
    }
    if (this.#listeners.size > 1) subscribe(REQUEST_START, this.#onRequest)
  }

  end (): void {
    unsubscribe(REQUEST_START, this.#onRequest)
  }

  // Listening on 'localhost', Fastify has a server an address and shows only one of them.
  readonly #onRequest = (message: unknown): void => {
    const { request: { socket }, response, server } = message as { request: IncomingMessage, response: ServerResponse, server: Server }
    if (server !== this.#instance.server && this.#listeners.has(`${socket.localAddress} ${socket.localPort}`)) addHeader(response)
  }
}

// Only to a 503: with `return503OnClosing: false`, or on a socket of another server, requests are still served.
function addHeader (response: ServerResponse): void {
  const { writeHead } = response
  response.writeHead = function (this: ServerResponse, status: number, ...rest: never[]) {
    if (status === 503 && !this.hasHeader('retry-after')) this.setHeader('retry-after', String(RETRY_AFTER_SECONDS))
    return writeHead.call(this, status, ...rest)
  }
}
