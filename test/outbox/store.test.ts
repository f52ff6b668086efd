import t from 'tap'
import '../helpers/file-timeout.ts'
import { postgresDatabase } from '../helpers/outbox-postgres.ts'
import { sqliteDatabase } from '../helpers/outbox-sqlite.ts'
import { storeSuite } from '../helpers/outbox-store-suite.ts'

storeSuite(t, { name: 'PostgreSQL', create: postgresDatabase })
storeSuite(t, { name: 'SQLite', create: sqliteDatabase })
