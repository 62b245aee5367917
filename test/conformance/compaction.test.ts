import { describe, expect, test } from 'vitest'
import type { Item } from '../../shared/items.ts'
import { itemsAnswer, textAnswer } from '../fakes/model-server.ts'
import { ConformanceTable } from './conformance-table.ts'
import { heldAgainst } from './held-against.ts'
import { outline } from './outline.ts'
import {
  conversationItems,
  doneItems,
  eventsOf,
  furtherPrompt,
  type Played,
  play,
  shownText,
  start,
} from './replay.ts'

const table = new ConformanceTable('Compaction')

/** Less than the 50 000 tokens that the recorded answers count. */
const EARLY = { compactAtTokens: 20_000 }
const LITE = { model: 'gpt-6.2-sol', form: { ...EARLY, lite: true } }

const sealed: Item = { type: 'compaction', id: 'cmp_1', encrypted_content: 'gAAAA-compaction' }
const says = (id: string, text: string): Item => ({
  type: 'message',
  id,
  role: 'assistant',
  content: [{ type: 'output_text', text }],
})
const HUGE = { input_tokens: 50_000, output_tokens: 500, total_tokens: 50_500 }

/** What stands in a request but its input. */
function withoutInput({ server }: Pick<Played, 'server'>): unknown[] {
  return server.requests.map(({ body: { input: _, ...rest } }) => rest)
}

describe.concurrent('a long conversation', () => {
  test('80-auto-compact: in the middle of a run, the outputs of its calls included', async (t) => {
    const scene = await heldAgainst(t, table, '80-auto-compact-gpt-5.5', { given: { form: EARLY } })
    const { agent, server, finished, recorded } = scene

    expect(server.requests[1]?.body.input.at(-1)).toEqual({ type: 'compaction_trigger' })
    expect(conversationItems(server, 2).slice(1)).toEqual(doneItems(recorded.exchanges[1]))
    const [first, ...others] = withoutInput(scene)
    for (const other of others) expect(other).toEqual(first)
    const heads = server.requests.map(({ body }) => body.input[0])
    for (const head of heads) expect(head).toEqual(heads[0])

    const [compacted, ...more] = eventsOf(agent, 'compacted')
    expect(compacted?.items).toEqual(conversationItems(server, 2))
    expect(compacted?.tokensBefore).toBeGreaterThan(50_000)
    expect(compacted?.tokensAfter).toBeLessThan(20_000)
    expect(more).toEqual([])
    expect(eventsOf(agent, 'item').map(({ item }) => item.type)).not.toContain('compaction')
    expect(shownText(agent)).toBe('After compaction.')
    expect(finished.usage.inputTokens).toBe(50_000 + 100 + 100)
  })

  test('81-auto-compact-default: the tools stay where the lite form has them', async (t) => {
    const { server } = await heldAgainst(t, table, '81-auto-compact-default', { given: LITE })

    const heads = server.requests.map(({ body }) => body.input.slice(0, 2))
    expect(heads[0]?.map(({ type }) => type)).toEqual(['additional_tools', 'message'])
    for (const head of heads) expect(head).toEqual(heads[0])
    for (const { body, header } of server.requests) {
      expect(body).not.toHaveProperty('tools')
      expect(body).toMatchObject({
        parallel_tool_calls: false,
        reasoning: { context: 'all_turns' },
      })
      expect(header('x-openai-internal-codex-responses-lite')).toBe('true')
    }
  })

  test('83-compact-between-turns: before the next question, which is not folded in', async (t) => {
    const { agent, server } = await heldAgainst(t, table, '83-compact-between-turns', {
      given: { form: EARLY },
    })

    const said = conversationItems(server, 2).filter(({ role }) => role === 'user')
    expect(said).toMatchObject([
      { content: [{ text: 'First question.' }] },
      { content: [{ text: 'Second question.' }] },
    ])
    expect(eventsOf(agent, 'compacted')).toMatchObject([{ runId: 'run-2' }])
  })
})

describe.concurrent('the conversation after it', () => {
  test('can be compacted again, and keeps what the user said', async (t) => {
    const { agent, server } = await start(
      t,
      [
        itemsAnswer([says('m', 'One.')], { usage: HUGE }),
        itemsAnswer([sealed]),
        itemsAnswer([says('n', 'Two.')], { usage: { ...HUGE, input_tokens: 90_000 } }),
        itemsAnswer([{ ...sealed, id: 'cmp_2' }]),
        textAnswer(),
      ],
      { form: EARLY, prompt: 'One.' },
    )
    await agent.finished()
    for (const [index, prompt] of ['Two.', 'Three.'].entries()) {
      agent.send(furtherPrompt(`run-${index + 2}`, prompt))
      await agent.finished()
    }

    expect(conversationItems(server, 4).map(outline)).toEqual([
      { type: 'message', role: 'user' },
      { type: 'message', role: 'user' },
      { type: 'compaction', id: 'cmp_2' },
      { type: 'message', role: 'user' },
    ])
    expect(eventsOf(agent, 'compacted')).toHaveLength(2)
  })
})

describe.concurrent('a service that does not compact', () => {
  const long = () => itemsAnswer([], { usage: HUGE, end_turn: false })

  test('is asked for a summary, which takes the place of the rest', async (t) => {
    const summary = 'They wanted a greeting.'
    const script = [
      long(),
      { status: 400, body: { error: { message: "Invalid value: 'compaction_trigger'" } } },
      textAnswer(summary),
      textAnswer('Hello.'),
    ]
    const { agent, finished, server } = await play(t, script, { form: EARLY })

    const [question, standIn] = conversationItems(server, 3)
    expect(question).toMatchObject({ role: 'user', content: [{ text: 'Say hello.' }] })
    expect(JSON.stringify(standIn)).toContain(summary)
    const told = JSON.stringify(eventsOf(agent, 'item'))
    expect(told).toContain('Hello.')
    expect(told).not.toContain(summary)
    expect(finished.status).toBe('done')
  })

  test('gives one error when it gives neither, and the conversation is as before', async (t) => {
    const no = { status: 400, body: { error: { message: 'No.' } } }
    const { agent, server } = await start(t, [long(), no, no], {
      form: EARLY,
    })
    const finished = await agent.finished()

    expect(finished.status).toBe('failed')
    expect(server.requests).toHaveLength(3)
    expect(eventsOf(agent, 'compacted')).toEqual([])
    expect(conversationItems(server, 1).map(outline)).toEqual([
      { type: 'message', role: 'user' },
      { type: 'compaction_trigger' },
    ])
  })
})

test('docs/conformance.md says what these runs have shown', () => {
  table.expectInDocs()
})
