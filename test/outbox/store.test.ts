import t from 'tap'
import { postgresDatabase } from './postgres.ts'
import { sqliteDatabase } from './sqlite.ts'
import { storeSuite } from './store-suite.ts'

storeSuite(t, { name: 'PostgreSQL', create: postgresDatabase })
storeSuite(t, { name: 'SQLite', create: sqliteDatabase })
