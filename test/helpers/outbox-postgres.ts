import type { Test } from 'tap'
import { postgres, type PostgresStoreOptions } from '../../lib/outbox/index.ts'
import { postgresSchema, type Postgres } from './postgres.ts'
import type { Database } from './outbox-store-suite.ts'

export interface PostgresDatabase extends Database, Postgres {}

export async function postgresDatabase (t: Test, options: Partial<PostgresStoreOptions> = {}): Promise<PostgresDatabase | undefined> {
  const server = await postgresSchema(t)
  if (server === undefined) return undefined
  const { pool, schema, url } = server
  await pool.query(`CREATE TABLE ${schema}.business (id int)`)
  return {
    ...server,
    store: postgres({ pool, schema, ...options }),
    storeSource: `postgres({ pool: new pg.Pool({ connectionString: '${url}' }).on('error', () => {}), schema: '${schema}' })`,
    async transaction (use) {
      const client = await pool.connect()
      try {
        await client.query('BEGIN')
        const result = await use(client, () => client.query(`INSERT INTO ${schema}.business VALUES (1)`))
        await client.query('COMMIT')
        return result
      } catch (error) {
        await client.query('ROLLBACK')
        throw error
      } finally {
        client.release()
      }
    },
    rows: async () => (await pool.query(`SELECT * FROM ${schema}."${options.table ?? 'outbox_events'}" ORDER BY seq`)).rows,
    async shiftTimes (milliseconds) {
      await pool.query(`UPDATE ${schema}.outbox_events SET ${['created_at', 'due_at', 'ended_at'].map((time) => `${time} = ${time} + interval '${milliseconds} milliseconds'`).join(', ')}`)
    },
    async damage (id) {
      await pool.query(`ALTER TABLE ${schema}.outbox_events ALTER COLUMN payload TYPE text`)
      await pool.query(`UPDATE ${schema}.outbox_events SET payload = 'no JSON' WHERE id = $1`, [id])
    },
    businessRows: async () => (await pool.query(`SELECT FROM ${schema}.business`)).rowCount!
  }
}
