import type { JSONSchemaType, SchemaObject } from 'ajv'
import { type } from 'arktype'
import { Type as TypeBox034 } from '@sinclair/typebox'
import Fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify'
import type { Cradle } from '@fastify/awilix'
import type { AwilixContainer } from 'awilix'
import type { JSONSchema } from 'json-schema-to-ts'
import { describe, expect, test } from 'tstyche'
import { Type as TypeBox1 } from 'typebox'
import * as v from 'valibot'
import { z } from 'zod'
import backgroundJobs, { type DeadLetter, type DeclareOptions, type DefineOptions, type EnqueuedJob, type HookJob, type InferInput, type InferPayload, type JobContext, type JobCradle, type JobDefinition, type JobInfo, type JobName, type JobToEnqueue, type JobView, type Jobs, type JobsStatus, NonRetryableError, type StandardSchema } from '../lib/index.ts'

interface Mail { to: string, subject: string }

declare module '@fastify/awilix' {
  interface Cradle {
    clock: () => number
  }
}

const app = Fastify()
declare const jobs: Jobs

describe('the decorator', () => {
  test('is on the instance and on what a request knows of it', () => {
    expect(app.jobs).type.toBe<Jobs>()
    app.get('/', async (request, reply) => {
      expect(request.server.jobs).type.toBe<Jobs>()
      expect(reply.server.jobs).type.toBe<Jobs>()
    })
  })
})

describe('a payload inferred from a schema', () => {
  test('an inline JSON schema', () => {
    const definition = jobs.define('inline', {
      queue: 'mail',
      schema: {
        type: 'object',
        required: ['to'],
        additionalProperties: false,
        properties: { to: { type: 'string' }, copies: { type: 'integer' }, kind: { enum: ['a', 'b'] } }
      }
    }, async function (payload) {
      expect(payload).type.toBe<{ to: string, copies?: number, kind?: 'a' | 'b' }>()
    })
    expect(definition).type.toBe<JobDefinition<{ to: string, copies?: number, kind?: 'a' | 'b' }>>()
  })

  test('a JSON schema declared `as const`', () => {
    const schema = {
      type: 'object',
      required: ['id'],
      additionalProperties: false,
      properties: { id: { type: 'number' }, tags: { type: 'array', items: { type: 'string' } } }
    } as const
    jobs.define('as-const', { schema }, async (payload) => {
      expect(payload).type.toBe<{ id: number, tags?: string[] }>()
    })
  })

  test('a schema of @sinclair/typebox 0.34', () => {
    const schema = TypeBox034.Object({
      to: TypeBox034.String(),
      copies: TypeBox034.Optional(TypeBox034.Integer()),
      kind: TypeBox034.Union([TypeBox034.Literal('a'), TypeBox034.Literal('b')])
    })
    jobs.define('typebox-0', { schema }, async (payload) => {
      expect(payload).type.toBe<{ to: string, copies?: number, kind: 'a' | 'b' }>()
    })
  })

  test('a schema of typebox 1.x', () => {
    const schema = TypeBox1.Object({
      to: TypeBox1.String(),
      copies: TypeBox1.Optional(TypeBox1.Integer()),
      kind: TypeBox1.Union([TypeBox1.Literal('a'), TypeBox1.Literal('b')]),
      tags: TypeBox1.Array(TypeBox1.Object({ name: TypeBox1.String(), on: TypeBox1.Boolean() })),
      nothing: TypeBox1.Null(),
      counts: TypeBox1.Record(TypeBox1.String(), TypeBox1.Number())
    })
    jobs.define('typebox-1', { schema }, async (payload) => {
      expect(payload.to).type.toBe<string>()
      expect(payload.copies).type.toBe<number | undefined>()
      expect(payload.kind).type.toBe<'a' | 'b'>()
      expect(payload.tags).type.toBe<{ name: string, on: boolean }[]>()
      expect(payload.nothing).type.toBe<null>()
      expect(payload.counts).type.toBe<Record<string, number>>()
      expect(payload).type.not.toHaveProperty('missing')
    })
    jobs.define('typebox-1-inline', { schema: TypeBox1.Object({ to: TypeBox1.String() }) }, async (payload) => {
      expect(payload).type.toBe<{ to: string }>()
    })
  })

  test('a schema that refers to a shared one is unknown, as a whole', () => {
    const mail = jobs.define('shared', { schema: { $ref: 'mail#' } }, async (payload) => {
      expect(payload).type.toBe<unknown>()
    })
    expect(mail).type.toBe<JobDefinition<unknown>>()
    expect(jobs.enqueue).type.toBeCallableWith(mail, { to: 'ada@example.org' })
    expect(jobs.enqueueMany).type.toBeCallableWith([{ job: mail, payload: { to: 'ada@example.org' } }])
    expect(jobs.schedule).type.toBeCallableWith('a', { every: 1000 }, mail, { payload: { to: 'ada@example.org' } })
    const parts = [
      { type: 'object', required: ['mail'], properties: { mail: { $ref: 'mail#' }, at: { type: 'string' } } },
      { type: 'array', items: { $ref: 'mail#/properties/to' } },
      { anyOf: [{ type: 'string' }, { $ref: '#place' }] },
      { $ref: '#/definitions/mail', definitions: { mail: { $ref: 'mail#' } } }
    ] as const
    expect(jobs.declare('part', { schema: parts[0] })).type.toBe<JobDefinition<unknown>>()
    expect(jobs.declare('part', { schema: parts[1] })).type.toBe<JobDefinition<unknown>>()
    expect(jobs.declare('part', { schema: parts[2] })).type.toBe<JobDefinition<unknown>>()
    expect(jobs.declare('part', { schema: parts[3] })).type.toBe<JobDefinition<unknown>>()
    jobs.define('part', { schema: { type: 'array', items: { $ref: 'mail#' } } }, async (payload) => {
      expect(payload).type.toBe<unknown>()
    })
    expect(jobs.declare('declared-shared', { schema: { $ref: 'mail#' } })).type.toBe<JobDefinition<unknown>>()
  })

  test('a reference within the schema', () => {
    jobs.define('local', {
      schema: { definitions: { a: { type: 'string' } }, type: 'object', required: ['a'], additionalProperties: false, properties: { a: { $ref: '#/definitions/a' } } }
    }, async (payload) => {
      expect(payload).type.toBe<{ a: string }>()
    })
  })

  test('a schema of draft 2020-12 is inferred, but for its tuples', () => {
    const tuple = { $schema: 'https://json-schema.org/draft/2020-12/schema', type: 'array', prefixItems: [{ type: 'string' }], items: false } as const
    expect(jobs.declare('tuple', { schema: tuple })).type.toBe<JobDefinition<unknown>>()
    const schema = { $schema: 'https://json-schema.org/draft/2020-12/schema', $defs: { a: { type: 'string' } }, type: 'object', additionalProperties: false, required: ['b'], properties: { a: { $ref: '#/$defs/a' }, b: { type: 'number' } } } as const
    expect(jobs.declare('modern', { schema })).type.toBe<JobDefinition<{ a?: string, b: number }>>()
  })

  test('the payload type can be given where no schema says it', () => {
    const definition = jobs.define<Mail>('given', { schema: { $ref: 'mail#' } }, async (payload) => {
      expect(payload).type.toBe<Mail>()
    })
    expect(definition).type.toBe<JobDefinition<Mail>>()
    expect(jobs.declare<Mail>('given', { schema: { $ref: 'mail#' } })).type.toBe<JobDefinition<Mail>>()
    // @ts-expect-error No overload matches this call
    jobs.define('mismatch', { schema: z.object({ to: z.string() }) }, async (payload: { to: number }) => payload)
  })

  test('a schema whose type says nothing gives an unknown payload', () => {
    for (const schema of [{} as object, {} as Exclude<JSONSchema, boolean>, {} as SchemaObject]) {
      jobs.define('opaque', { schema }, async (payload) => {
        expect(payload).type.toBe<unknown>()
      })
    }
    expect<InferPayload<JSONSchema>>().type.toBe<unknown>()
    expect<InferPayload<SchemaObject>>().type.toBe<unknown>()
    jobs.define('ajv', { schema: {} as JSONSchemaType<Mail> }, async (payload) => payload.to)
    jobs.define('any', { schema: {} as any }, async (payload) => {
      expect(payload).type.toBe<any>()
    })
  })
})

describe('a payload checked by the definition', () => {
  test('an enqueue by definition object', () => {
    const definition = jobs.define<Mail>('by-type', async () => {})
    expect(definition).type.toBe<JobDefinition<Mail>>()
    expect(jobs.enqueue).type.toBeCallableWith(definition, { to: 'ada@example.org', subject: 'Hi' })
    expect(jobs.enqueue).type.toBeCallableWith(definition, { to: 'ada@example.org', subject: 'Hi' }, { delay: 100, attempts: 5 })
    expect(jobs.enqueue).type.not.toBeCallableWith(definition, { to: 1, subject: 'Hi' })
    expect(jobs.enqueue).type.not.toBeCallableWith(definition, { to: 'ada@example.org' })
    expect(jobs.enqueue).type.not.toBeCallableWith(definition)
  })

  test('an enqueue by a definition made from a schema', () => {
    const definition = jobs.define('by-schema', { schema: TypeBox034.Object({ to: TypeBox034.String() }) }, async () => {})
    expect(jobs.enqueue).type.toBeCallableWith(definition, { to: 'ada@example.org' })
    expect(jobs.enqueue).type.not.toBeCallableWith(definition, { to: 1 })
  })

  test('what an enqueue resolves to', () => {
    expect(jobs.enqueue('any', 1)).type.toBe<Promise<EnqueuedJob>>()
    expect<EnqueuedJob['status']>().type.toBe<'enqueued' | 'duplicate' | 'dropped'>()
  })
})

describe('names, where JobTypes declares none', () => {
  test('every name can be enqueued and scheduled, with every payload', () => {
    expect<JobName>().type.toBe<string>()
    expect(jobs.enqueue).type.toBeCallableWith('undeclared', { anything: true })
    expect(jobs.enqueue).type.toBeCallableWith('undeclared' as string, { anything: true })
    expect(jobs.schedule).type.toBeCallableWith('a', { every: 1000 }, 'undeclared' as string)
    jobs.define('undeclared', async (payload) => { expect(payload).type.toBe<any>() })
  })
})

describe('a payload that a Standard Schema describes', () => {
  const schemas = {
    zod: z.object({ to: z.string(), at: z.coerce.date<string>(), copies: z.number().default(1) }),
    valibot: v.object({ to: v.string(), at: v.pipe(v.string(), v.transform((text) => new Date(text))), copies: v.optional(v.number(), 1) }),
    arktype: type({ to: 'string', at: 'string.date.parse', copies: 'number = 1' })
  }
  const good = { to: 'ada@example.org', at: '2026-11-21' }

  test('the handler gets what comes out of zod, enqueue takes what goes in', () => {
    const definition = jobs.define('zod', { schema: schemas.zod, attempts: 2 }, async (payload) => {
      expect(payload).type.toBe<{ to: string, at: Date, copies: number }>()
    })
    expect(definition).type.toBe<JobDefinition<{ to: string, at: string, copies?: number | undefined }>>()
  })

  test('valibot', () => {
    const definition = jobs.define('valibot', { schema: schemas.valibot }, async (payload) => {
      expect(payload).type.toBe<{ to: string, at: Date, copies: number }>()
    })
    expect(definition).type.toBe<JobDefinition<{ to: string, at: string, copies?: number | undefined }>>()
  })

  test('arktype', () => {
    const definition = jobs.define('arktype', { schema: schemas.arktype }, async (payload) => {
      expect(payload).type.toBe<{ to: string, at: Date, copies: number }>()
    })
    expect(definition).type.toBe<JobDefinition<{ to: string, at: string, copies?: number }>>()
  })

  test('inline, in enqueue, enqueueMany and schedule', () => {
    const definition = jobs.define('inline-zod', { schema: z.object({ to: z.string(), copies: z.number().default(1) }) }, async function ({ copies }) {
      expect(this).type.toBe<FastifyInstance>()
      expect(copies).type.toBe<number>()
    })
    expect(jobs.enqueue).type.toBeCallableWith(definition, { to: 'ada' })
    expect(jobs.enqueue).type.not.toBeCallableWith(definition, { copies: 2 })
    expect(jobs.enqueueMany).type.toBeCallableWith([{ job: definition, payload: { to: 'ada' } }])
    expect(jobs.enqueueMany).type.not.toBeCallableWith([{ job: definition, payload: { to: 1 } }])
    expect(jobs.schedule).type.toBeCallableWith('a', { every: 1000 }, definition, { payload: { to: 'ada' } })
    expect(jobs.schedule).type.not.toBeCallableWith('a', { every: 1000 }, definition)
    const declared = jobs.declare('declared-zod', { schema: schemas.zod })
    expect(declared).type.toBe<JobDefinition<{ to: string, at: string, copies?: number | undefined }>>()
    expect(app.jobs.enqueueMany).type.toBeCallableWith([{ job: declared, payload: { to: 'ada', at: '2026-11-21' } }])
    for (const schema of Object.values(schemas)) expect<StandardSchema<any, any>>().type.toBeAssignableFrom(schema)
  })

  test('the types of a schema', () => {
    expect<InferInput<typeof schemas.zod>>().type.toBeAssignableFrom(good)
    expect<InferPayload<typeof schemas.zod>>().type.not.toBeAssignableFrom(good)
  })
})

describe('handlers', () => {
  test('`this` and the context', () => {
    jobs.define('context', async function (_payload, context) {
      expect(this).type.toBe<FastifyInstance>()
      expect(context).type.toBe<JobContext>()
      expect(context.job).type.toBe<JobInfo>()
      expect(context.signal).type.toBe<AbortSignal>()
      expect(context.log).type.toBe<FastifyBaseLogger>()
      expect(context.diScope).type.toBe<AwilixContainer<Cradle & JobCradle>>()
      expect(context.diScope.resolve('clock')).type.toBe<() => number>()
      expect(context.diScope.resolve('job')).type.toBe<JobInfo>()
      expect(context.progress).type.toBe<(value: number) => void>()
      expect(context).type.not.toHaveProperty('request')
    })
  })

  test('a delegate job', () => {
    jobs.enqueue(async function ({ job, signal }) {
      expect(this).type.toBe<FastifyInstance>()
      expect(job).type.toBe<JobInfo>()
      expect(signal).type.toBe<AbortSignal>()
    }, { name: 'delegate', queue: 'default', delay: 10 })
    expect(jobs.enqueue).type.not.toBeCallableWith(async () => {})
    expect(jobs.enqueue).type.not.toBeCallableWith(async () => {}, { queue: 'default' })
  })

  test('the options of a definition', () => {
    expect(jobs.define).type.not.toBeCallableWith('typo', { atempts: 1 }, async () => {})
    expect(jobs.define).type.not.toBeCallableWith('no-handler')
    jobs.define('options', {
      queue: 'default',
      attempts: 2,
      timeout: 1000,
      backoff: (attempt, error) => {
        expect(attempt).type.toBe<number>()
        expect(error).type.toBe<unknown>()
        return attempt * 1000
      },
      retryable: (error) => error.code !== 'GONE',
      version: 2,
      aliases: ['former-name'],
      upgrade (payload, fromVersion) {
        expect(fromVersion).type.toBe<number>()
        return { ...payload, subject: '' }
      }
    }, async () => {})
    expect(jobs.define).type.not.toBeCallableWith('typo', { aliases: 'former-name' }, async () => {})
  })

  test('options in a variable', () => {
    const options: DefineOptions = { attempts: 3 }
    jobs.define('options', options, async (payload) => { expect(payload).type.toBe<any>() })
    const withSchema = { attempts: 3, schema: z.object({ to: z.string() }) } satisfies DefineOptions
    jobs.define('options', withSchema, async (payload) => { expect(payload).type.toBe<{ to: string }>() })
    const declared: DeclareOptions = { attempts: 3 }
    expect(jobs.declare('declared', declared)).type.toBe<JobDefinition<any>>()
    const perhaps = z.string() as z.ZodString | undefined
    jobs.define('options', { schema: perhaps }, async (payload) => { expect(payload).type.toBe<unknown>() })
  })
})

describe('hooks', () => {
  test('what each of them is given', () => {
    for (const name of ['onEnqueue', 'onStart', 'onSuccess', 'onDrop'] as const) {
      jobs.addHook(name, function (job) {
        expect(this).type.toBe<FastifyInstance>()
        expect(job).type.toBe<HookJob>()
      })
    }
    jobs.addHook('onRetry', async (job, error, runAt) => {
      expect(job.payload).type.toBe<unknown>()
      expect(error).type.toBe<Error>()
      expect(runAt).type.toBe<number>()
    })
    jobs.addHook('onDeadLetter', function (job, error) {
      expect(this).type.toBe<FastifyInstance>()
      expect(job).type.toBe<HookJob>()
      expect(error).type.toBe<Error>()
    })
    expect(jobs.addHook).type.not.toBeCallableWith('onSomething', async () => {})
  })
})

describe('the rest of fastify.jobs', () => {
  test('inspection and control', () => {
    expect(jobs.status()).type.toBe<Promise<JobsStatus>>()
    expect(jobs.get('id')).type.toBe<Promise<JobView | undefined>>()
    expect(jobs.cancel('id')).type.toBe<Promise<boolean>>()
    expect(jobs.deadLetters.list({ queue: 'default', limit: 10 })).type.toBe<Promise<DeadLetter[]>>()
    expect(jobs.deadLetters.retry('id')).type.toBe<Promise<boolean>>()
    expect(jobs.deadLetters.remove('id')).type.toBe<Promise<boolean>>()
    expect(jobs.idle({ delayed: true })).type.toBe<Promise<void>>()
    expect(jobs.pause).type.toBeCallableWith('default')
    expect(jobs.resume).type.toBeCallableWith()
  })

  test('enqueueMany', () => {
    const mail = jobs.define<Mail>('many', async () => {})
    expect(jobs.enqueueMany([{ job: mail, payload: { to: 'a', subject: 'b' }, delay: 1 }, { job: 'other', payload: 1 }])).type.toBe<Promise<EnqueuedJob[]>>()
    expect(jobs.enqueueMany).type.not.toBeCallableWith([{ job: 'other' }])
    expect(jobs.enqueueMany).type.not.toBeCallableWith([{ job: mail, payload: { to: 1, subject: 'b' } }])
    expect(jobs.enqueueMany).type.not.toBeCallableWith([{ job: 'other', payload: 1 }, { job: mail, payload: 1 }])
    const people = ['ada', 'grace']
    jobs.enqueueMany(people.map((to) => ({ job: 'other', payload: { to } })))
    jobs.enqueueMany(people.map((to) => ({ job: mail, payload: { to, subject: 'b' } })), { signal: AbortSignal.abort() })
    const list: JobToEnqueue[] = people.map((to) => ({ job: to, payload: 1 }))
    expect(jobs.enqueueMany).type.toBeCallableWith(list)
    const readonly = [{ job: mail, payload: { to: 'a', subject: 'b' } }, { job: 'other', payload: 1 }] as const
    expect(jobs.enqueueMany).type.toBeCallableWith(readonly)
    expect(jobs.enqueueMany).type.not.toBeCallableWith([{ job: 'other', payload: 1, signal: AbortSignal.abort() }])
  })

  test('NonRetryableError is an Error', () => {
    expect(NonRetryableError).type.toBeConstructableWith('gone')
    expect(NonRetryableError).type.toBeConstructableWith('gone', { cause: new Error('why') })
    expect(new NonRetryableError('gone')).type.toBeAssignableTo<Error>()
  })

  test('the plugin registers', () => {
    app.register(backgroundJobs)
    app.register(backgroundJobs, { queues: { mail: { capacity: 10 } } })
  })
})
