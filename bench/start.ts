import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { OURS, type StartMeasurement, type StartTask } from './children/start.ts'
import { printTable, printTargets } from './report.ts'
import { median } from './rounds.ts'

const child = fileURLToPath(new URL('children/start.ts', import.meta.url))

const tasks = {
  fastify: { kind: 'import', module: 'fastify' },
  ours: { kind: 'import', module: OURS },
  oursAfterFastify: { kind: 'import', module: OURS, after: 'fastify' },
  bare: { kind: 'ready', route: false, plugin: false },
  bareWithPlugin: { kind: 'ready', route: false, plugin: true },
  route: { kind: 'ready', route: true, plugin: false },
  routeWithPlugin: { kind: 'ready', route: true, plugin: true },
  routeWithoutMetrics: { kind: 'ready', route: true, plugin: true, options: { metrics: false } }
} satisfies Record<string, StartTask>

type Name = keyof typeof tasks

async function measure (task: StartTask): Promise<StartMeasurement> {
  const process = fork(child, [JSON.stringify(task)])
  const [measurement] = await once(process, 'message') as [StartMeasurement]
  await once(process, 'exit')
  return measurement
}

const { values } = parseArgs({ options: { quick: { type: 'boolean' }, rounds: { type: 'string' } } })
const rounds = Number(values.rounds ?? (values.quick ? 5 : 21))

if (!existsSync(new URL('../dist', import.meta.url))) throw new Error('There is nothing to measure: run `npm run build` first')
console.log(`Node.js ${process.version}, ${cpus().length} × ${cpus()[0]!.model}`)

const measured = new Map<Name, StartMeasurement[]>()
for (let round = 0; round < rounds; round++) {
  for (const name of Object.keys(tasks) as Name[]) {
    const measurements = measured.get(name) ?? []
    measured.set(name, [...measurements, await measure(tasks[name])])
  }
}

/** The median over the rounds. */
function of (name: Name, key: keyof StartMeasurement) {
  return median(measured.get(name)!.map((measurement) => measurement[key]))
}

function cells (name: Name) {
  return [of(name, 'time'), of(name, 'cpu'), of(name, 'rss') / 1e6].map((value) => value.toFixed(1))
}

/** The difference that the plugin makes. */
function more (name: Name, without: Name) {
  return [of(name, 'time') - of(without, 'time'), of(name, 'cpu') - of(without, 'cpu'), (of(name, 'rss') - of(without, 'rss')) / 1e6].map((value) => value.toFixed(1))
}

const header = ['ms', 'CPU, ms', 'RSS, MB']
printTable(`Import, each in a process of its own (medians of ${rounds} rounds)`, ['', ...header], [
  ['fastify', ...cells('fastify')],
  ['fastify-background-jobs', ...cells('ours')],
  ['fastify-background-jobs after fastify', ...cells('oursAfterFastify')]
])
printTable('From the import of Fastify until the app is ready', ['', ...header, 'with the plugin: more ms', 'CPU, ms', 'RSS, MB'], [
  ['no route', ...cells('bare'), ...more('bareWithPlugin', 'bare')],
  ['a route with a schema', ...cells('route'), ...more('routeWithPlugin', 'route')],
  ['the same, metrics: false', ...cells('route'), ...more('routeWithoutMetrics', 'route')]
])
printTargets([
  { name: "import: ours / Fastify's", value: of('ours', 'time') / of('fastify', 'time'), wanted: { max: 1 } },
  // That of a machine which is busy with something else.
  { name: "import, CPU: ours / Fastify's", value: of('ours', 'cpu') / of('fastify', 'cpu'), wanted: { max: 1 } },
  { name: "import: RSS of ours / Fastify's", value: of('ours', 'rss') / of('fastify', 'rss'), wanted: { max: 1 } }
])
