import type { FastifyReply } from 'fastify'

/** The part of JSON Schema that the plugin's responses are described in. */
export interface JsonSchema {
  readonly type: string
  readonly description?: string
  readonly format?: string
  readonly enum?: readonly string[]
  readonly required?: readonly string[]
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly additionalProperties?: JsonSchema | true
  readonly items?: JsonSchema
}

/**
 * Sends JSON as a text. The app's serializers and `preSerialization` hooks are made for its own answers, so Fastify must not
 * call them for ours. `onSend` hooks run.
 */
export function sendJson (reply: FastifyReply, answer: unknown): FastifyReply {
  return reply.type('application/json; charset=utf-8').send(JSON.stringify(answer))
}

/** The part of a value that the schema names: nothing else leaves the process, whatever a backend adds to its answers. */
export function pick (schema: JsonSchema, value: unknown): unknown {
  const { type, properties, additionalProperties, items } = schema
  if (type === 'array') return Array.isArray(value) ? value.map((item) => pick(items!, item)) : undefined
  if (type !== 'object') return isObject(value) ? undefined : value
  if (!isObject(value) || additionalProperties === true) return isObject(value) ? value : undefined
  if (additionalProperties !== undefined) return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, pick(additionalProperties, member)]))
  return Object.fromEntries(Object.entries(properties!).map(([key, member]) => [key, pick(member, value[key])]))
}

function isObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
