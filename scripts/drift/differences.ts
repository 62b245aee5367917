/**
 * Where two values differ, one line each: the place, what was recorded, what was seen. The order of
 * headers, and of the fields of a body, is that of the wire and counts.
 */
export function differences(recorded: unknown, seen: unknown, place = ''): string[] {
  if (isObject(recorded) && isObject(seen)) {
    const names = [...new Set([...Object.keys(recorded), ...Object.keys(seen)])]
    const inside = names.flatMap((name) => {
      const at = place === '' ? name : `${place}.${name}`
      return differences(recorded[name], seen[name], at)
    })
    const [one, other] = [recorded, seen].map((value) => Object.keys(value).join(', '))
    // With the same names in another order there is nothing else to say.
    const isOnWire = /\b(headers|body)$/.test(place)
    return isOnWire && inside.length === 0 && one !== other
      ? [line(`${place} (order)`, one, other)]
      : inside
  }
  if (Array.isArray(recorded) && Array.isArray(seen)) {
    const length = Math.max(recorded.length, seen.length)
    return Array.from({ length }, (_, index) =>
      differences(recorded[index], seen[index], `${place}[${index}]`),
    ).flat()
  }
  return Object.is(recorded, seen) ? [] : [line(place, recorded, seen)]
}

function line(place: string, recorded: unknown, seen: unknown): string {
  return `${place}: ${shown(recorded)} → ${shown(seen)}`
}

function shown(value: unknown): string {
  const text = value === undefined ? 'none' : JSON.stringify(value)
  return text.length > 200 ? `${text.slice(0, 200)}…` : text
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
