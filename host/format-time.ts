/** A time in the user's locale: only the hour if it is today. */
export function localTime(at: number, now: number): string {
  const then = new Date(at)
  const isToday = then.toDateString() === new Date(now).toDateString()
  const clock = then.toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit' })
  if (isToday) return clock
  const day = { weekday: 'short', day: 'numeric', month: 'short' } as const
  return `${then.toLocaleDateString(undefined, day)}, ${clock}`
}

/** A duration in its two largest units: "2 h 10 min". */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1000))
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.round(seconds / 60)
  if (minutes < 60) return `${minutes} min`
  if (minutes < 24 * 60) return joined(Math.floor(minutes / 60), 'h', minutes % 60, 'min')
  const hours = Math.round(minutes / 60)
  const days = Math.floor(hours / 24)
  return joined(days, days === 1 ? 'day' : 'days', hours % 24, 'h')
}

function joined(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`
}
