import t from 'tap'
import Fastify from 'fastify'
import { pick, sendJson } from '../../lib/routes/json.ts'

const text = { type: 'string' }

t.test('pick takes what the schema names, at every depth', async (t) => {
  const job = { type: 'object', properties: { id: text, error: { type: 'object', properties: { name: text } } } }
  const given = { id: 'a', secret: 1, error: { name: 'Error', secret: 2 } }
  const named = { id: 'a', error: { name: 'Error' } }
  t.same(pick(job, given), named)
  t.same(pick({ type: 'array', items: job }, [given, given]), [named, named])
  t.same(pick({ type: 'object', additionalProperties: job }, { one: given }), { one: named })
  t.same(pick({ type: 'object', additionalProperties: true }, given), given)
  t.same(given, { id: 'a', secret: 1, error: { name: 'Error', secret: 2 } }, 'what was given stays as it is')
})

t.test('pick leaves out what is absent or of another shape', async (t) => {
  const shapes = {
    scalar: text,
    list: { type: 'array', items: text },
    record: { type: 'object', properties: { name: text } },
    map: { type: 'object', additionalProperties: text },
    anything: { type: 'object', additionalProperties: true as const }
  }
  const schema = { type: 'object', properties: shapes }
  const kept = (value: object) => JSON.stringify(pick(schema, value))
  t.equal(kept({}), '{}')
  t.equal(kept({ scalar: { secret: 1 }, list: { secret: 1 }, record: 'secret', map: null, anything: 'secret' }), '{}')
  t.equal(kept({ scalar: ['secret'], list: [['secret'], 'a'] }), '{"list":[null,"a"]}')
})

t.test('a map may have any key', async (t) => {
  const map = { type: 'object', additionalProperties: text }
  t.equal(JSON.stringify(pick(map, JSON.parse('{"__proto__":"a","constructor":"b"}'))), '{"__proto__":"a","constructor":"b"}')
})

t.test('sendJson sends JSON past the serializers of the app, and through its onSend hooks', async (t) => {
  const app = Fastify()
  app.setReplySerializer(() => 'serialized')
  app.addHook('preSerialization', async () => 'changed')
  app.addHook('onSend', async (_request, _reply, payload) => `${String(payload)} sent`)
  app.get('/', async (_request, reply) => sendJson(reply.code(201), { a: [1] }))
  const { statusCode, headers, body } = await app.inject('/')
  t.same([statusCode, headers['content-type'], body], [201, 'application/json; charset=utf-8', '{"a":[1]} sent'])
})
