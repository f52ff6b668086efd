// Builds `dist/`. What runs is CommonJS, for `import` as for `require`: a process has one copy of every class, however it loads the
// package, and jest can load it. The modules for `import` only name what is in it. Beside them are the declarations that the entry
// points reach, as CommonJS too, which every setting of TypeScript can import.
import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, isAbsolute, join, posix, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rollup, type GetModuleInfo, type Plugin } from 'rollup'
import typescript from 'typescript'

const root = fileURLToPath(new URL('..', import.meta.url))
const dist = join(root, 'dist')
/** Where it grows: `dist/` is there whole, or not at all. */
const growing = join(root, 'dist.tmp')

// The name of a file of ours in `from './x.ts'`, `import './x.ts'` and `import('./x.ts')`.
const RELATIVE_TS = /(\b(?:from|import|import\() ?')(\.[^']*)\.ts'/g

interface Entry {
  readonly source: string
  /** The export that is the default one as well. */
  readonly default?: string
}

/** What can be imported, by the name of its file in `dist/`. */
const ENTRIES: Readonly<Record<string, Entry>> = {
  index: { source: 'lib/index', default: 'backgroundJobs' },
  outbox: { source: 'lib/outbox/index', default: 'outbox' },
  sqlite: { source: 'lib/backends/sqlite/index' },
  redis: { source: 'lib/backends/redis/index' },
  backend: { source: 'lib/backends/index' },
  'conformance/index': { source: 'test/conformance/index' }
}
/** Programs that one of them starts. */
const PROGRAMS: Readonly<Record<string, Entry>> = { 'conformance/child': { source: 'test/conformance/process/child' } }

async function bundle (): Promise<void> {
  const input = Object.fromEntries(Object.entries({ ...ENTRIES, ...PROGRAMS }).map(([name, { source }]) => [name, join(root, `${source}.ts`)]))
  const build = await rollup({ input, external: isExternal, plugins: [toCommonJs] })
  const { output } = await build.write({
    dir: growing,
    format: 'cjs',
    exports: 'named',
    entryFileNames: '[name].cjs',
    chunkFileNames: 'internal/[name].cjs',
    minifyInternalExports: false,
    hoistTransitiveImports: false,
    manualChunks: (id, { getModuleInfo }) => chunkOf(id, getModuleInfo)
  })
  for (const file of output) {
    if (file.type === 'chunk' && file.isEntry && file.name in ENTRIES) await write(`${file.name}.mjs`, wrapper(file.name, file.exports))
  }
}

function isExternal (id: string): boolean {
  return !id.startsWith('.') && !isAbsolute(id)
}

const CREATE_REQUIRE = /^(import \{ createRequire \} from 'node:module'|const require = createRequire\(import\.meta\.url\));?$/gm

const toCommonJs: Plugin = {
  name: 'to-common-js',
  transform (code) {
    const compilerOptions = { target: typescript.ScriptTarget.ES2023, module: typescript.ModuleKind.ESNext, verbatimModuleSyntax: true }
    // CommonJS has a `require` already, which bundlers understand.
    return { code: typescript.transpileModule(code, { compilerOptions }).outputText.replace(CREATE_REQUIRE, ''), map: null }
  },
  // jest knows no `import()` in CommonJS. Rollup turns those of our own files into `require` itself; this does the same for a dependency's
  // name. What is no literal may be an ES module of the user's.
  renderDynamicImport: ({ targetModuleId }) => targetModuleId === null || !isExternal(targetModuleId) ? null : { left: 'Promise.resolve().then(() => require(', right: '))' }
}

/** Few files load faster than many: the plugin is one, and what only some apps need is beside it. */
function chunkOf (id: string, getModuleInfo: GetModuleInfo): string | undefined {
  const file = relative(root, id)
  if (reachable(join(root, `${ENTRIES.index!.source}.ts`), (module) => getModuleInfo(module)!.importedIds).has(id)) return 'plugin'
  if (file === 'lib/outbox/metrics.ts') return 'outbox-metrics'
  return file.startsWith('lib/observability/') ? 'metrics' : undefined
}

function wrapper (name: string, exports: readonly string[]): string {
  const names = exports.map((one) => one === 'default' ? `${ENTRIES[name]!.default!} as default` : one)
  return `export { ${names.join(', ')} } from './${posix.basename(name)}.cjs';\n`
}

/** Writes the declarations that the entry points reach. */
async function declare (): Promise<void> {
  const emitted = await mkdtemp(join(tmpdir(), 'declarations-'))
  try {
    execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(root, 'tsconfig.build.json'), '--outDir', emitted], { stdio: 'inherit' })
    const texts = new Map<string, string>()
    const files = Object.values(ENTRIES).map(({ source }) => join(emitted, `${source}.d.ts`))
    for (const file of files) {
      if (texts.has(file)) continue
      const text = await readFile(file, 'utf8')
      texts.set(file, text.replace(RELATIVE_TS, (_, before, path) => `${before}${path}.cjs'`))
      for (const [, , path] of text.matchAll(RELATIVE_TS)) files.push(join(dirname(file), `${path}.d.ts`))
    }
    for (const [file, text] of texts) await write(join('types', relative(emitted, file).replace(/ts$/, 'cts')), text)
  } finally {
    await rm(emitted, { recursive: true, force: true })
  }
  for (const [name, { source, default: defaultExport }] of Object.entries(ENTRIES)) {
    const types = `${posix.dirname(name) === '.' ? '.' : '..'}/types/${source}.cjs`
    const rest = defaultExport === undefined ? '' : `export { ${defaultExport} as default } from '${types}';\n`
    await write(`${name}.d.mts`, `export * from '${types}';\n${rest}`)
  }
}

function reachable (from: string, next: (id: string) => readonly string[]): Set<string> {
  const found = new Set([from])
  for (const id of found) {
    for (const other of next(id)) found.add(other)
  }
  return found
}

async function write (file: string, text: string): Promise<void> {
  await mkdir(dirname(join(growing, file)), { recursive: true })
  await writeFile(join(growing, file), text)
}

await rm(growing, { recursive: true, force: true })
await bundle()
await declare()
await rm(dist, { recursive: true, force: true })
await rename(growing, dist)
