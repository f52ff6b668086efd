import Fastify from 'fastify'
import type { PostgresDb } from '@fastify/postgres'
import pg from 'pg'
import type { DatabaseSync } from 'node:sqlite'
import { describe, expect, test } from 'tstyche'
import outbox, { outbox as named, postgres, sqlite, type Outbox, type OutboxEvent, type OutboxOptions, type OutboxStore, type ParkedEvent, type PublishContext } from '../lib/outbox/index.ts'

const app = Fastify()
const store = sqlite({ path: 'app.db' })
const publish = (): void => {}
declare const client: pg.PoolClient
declare const database: DatabaseSync

describe('add', () => {
  test('gives a promise with a pg client and an id at once with a DatabaseSync', () => {
    expect(app.outbox).type.toBe<Outbox>()
    expect(app.outbox.add(client, 'order.placed', { id: 1 })).type.toBe<Promise<string>>()
    expect(app.outbox.add(new pg.Client(), 'order.placed', undefined)).type.toBe<Promise<string>>()
    expect(app.outbox.add(database, 'order.placed', { id: 1 }, { key: 'order-1' })).type.toBe<string>()
  })

  test('takes a type, a payload and a key', () => {
    expect(app.outbox.add).type.not.toBeCallableWith(client, 'order.placed')
    expect(app.outbox.add).type.not.toBeCallableWith(client, 1, {})
    expect(app.outbox.add).type.not.toBeCallableWith(client, 'order.placed', {}, { key: 1 })
    expect(app.outbox.add).type.not.toBeCallableWith(client, 'order.placed', {}, { id: 'x' })
    expect(app.outbox.add).type.not.toBeCallableWith(new pg.Pool(), 'order.placed', {})
    expect(app.outbox.add).type.not.toBeCallableWith({}, 'order.placed', {})
  })

  test('takes the clients of @fastify/postgres, and its decorators not', () => {
    expect(app.pg).type.toBeAssignableTo<PostgresDb>()
    expect(app.outbox.add).type.not.toBeCallableWith(app.pg, 'order.placed', {})
    expect(app.outbox.add).type.not.toBeCallableWith(app.pg.orders!, 'order.placed', {})
    expect(app.outbox.add).type.not.toBeCallableWith({ query: app.pg.query, transact: app.pg.transact }, 'order.placed', {})
    app.pg.transact((client) => {
      expect(client).type.toBe<pg.PoolClient>()
      return app.outbox.add(client, 'order.placed', {})
    })
  })

  test('takes any object that hands its queries to a client', () => {
    expect(app.outbox.add({ query: (text: string, values: unknown[]) => client.query(text, values) }, 'order.placed', {})).type.toBe<Promise<string>>()
  })
})

describe('parked', () => {
  test('is like the dead letters', () => {
    expect(app.outbox.parked.list()).type.toBe<Promise<ParkedEvent[]>>()
    expect(app.outbox.parked.list({ limit: 1 })).type.toBe<Promise<ParkedEvent[]>>()
    expect(app.outbox.parked.retry('id')).type.toBe<Promise<boolean>>()
    expect(app.outbox.parked.remove('id')).type.toBe<Promise<boolean>>()
  })
})

describe('the stores', () => {
  test('postgres takes a pg.Pool', () => {
    expect(postgres({ pool: new pg.Pool(), schema: 'app', table: 'events', createTable: false })).type.toBe<OutboxStore>()
    expect(postgres).type.not.toBeCallableWith({})
    expect(postgres).type.not.toBeCallableWith({ pool: 'postgres://localhost' })
    expect(postgres).type.not.toBeCallableWith({ pool: new pg.Client() })
  })

  test('sqlite takes a path', () => {
    expect(sqlite({ path: 'app.db', table: 'events', createTable: false })).type.toBe<OutboxStore>()
    expect(sqlite).type.not.toBeCallableWith({})
    expect(sqlite).type.not.toBeCallableWith({ path: 'app.db', schema: 'app' })
  })
})

describe('the options', () => {
  test('what each option takes', () => {
    const options: OutboxOptions = {
      store,
      async publish (event, context) {
        expect(event).type.toBe<OutboxEvent>()
        expect(event.payload).type.toBe<unknown>()
        expect(context).type.toBe<PublishContext>()
      },
      name: 'orders',
      every: 100,
      batchSize: 10,
      attempts: 3,
      backoff: { type: 'fixed', delay: 10 },
      timeout: 1000,
      retention: 0,
      maxPayloadBytes: 1000,
      onParked (event, error) {
        expect(event).type.toBe<OutboxEvent>()
        expect(error).type.toBe<Error>()
      }
    }
    expect(outbox).type.toBeCallableWith(app, options)
    expect(named).type.toBe<typeof outbox>()
    expect(outbox).type.toBeCallableWith(app, { store, publish, backoff: (attempt: number) => attempt * 10 })
  })

  test('a job is a name or a definition', () => {
    const definition = app.jobs.define('handle', async (payload: { id: string }) => payload.id)
    expect(outbox).type.toBeCallableWith(app, { store, job: 'handle' })
    expect(outbox).type.toBeCallableWith(app, { store, job: definition })
    expect(outbox).type.not.toBeCallableWith(app, { store, job: 1 })
  })

  test('exactly one of publish and job', () => {
    expect(outbox).type.not.toBeCallableWith(app, { store })
    expect(outbox).type.not.toBeCallableWith(app, { store, publish, job: 'handle' })
    expect(outbox).type.not.toBeCallableWith(app, { publish })
  })

  test('an unknown option is an error', () => {
    expect(outbox).type.not.toBeCallableWith(app, { store, publish, interval: 1 })
  })
})
