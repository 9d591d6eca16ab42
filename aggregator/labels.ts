/**
 * Repairs labels to the grammar that istiod checks for endpoints (the Kubernetes one): what cannot
 * stand becomes a dash, ends are trimmed to letters and digits, both sides are cut to 63 characters.
 *
 * Left out: keys that have nothing left, what exceeds the number of labels of an endpoint, and the
 * keys by which Istio itself decides on identity, network, locality or health: a registry must not speak for
 * the mesh. Of Istio's own keys only the canonical name and revision and the draining mark may pass.
 */
const labelsMax = 64;
const partMax = 63;

const validPart = /^[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const validPrefix =
  /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)*$/;
const validParts = new Set<string>();
const validPartsMax = 20_000;
const reservedKey = /^(?:[^/]*\.)?(?:istio|tributary)\.io\/|^istio-locality$/;
const allowedKeys = new Set([
  'service.istio.io/canonical-name',
  'service.istio.io/canonical-revision',
  'istio.io/draining',
]);

/**
 * The labels of an endpoint, sorted by key. When two keys become one, the one that was valid before,
 * else the first by its original text, is taken.
 */
export function repairLabels(
  raw: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  if (isRepaired(raw)) return raw;
  const repaired = new Map<string, { readonly original: string; readonly value: string }>();
  for (const original of Object.keys(raw).sort()) {
    const key = repairKey(original);
    if (key === '' || isReserved(key)) continue;
    if (repaired.has(key) && key !== original) continue;
    repaired.set(key, { original, value: repairPart(raw[original] ?? '') });
  }
  const keys = [...repaired.keys()].sort().slice(0, labelsMax);
  return Object.fromEntries(keys.map((key) => [key, repaired.get(key)?.value ?? '']));
}

/** The usual case, in which there is nothing to repair, sort or leave out. */
function isRepaired(raw: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(raw);
  if (keys.length > labelsMax) return false;
  let before = '';
  for (const key of keys) {
    if (key <= before || !isValidPart(key) || isReserved(key)) return false;
    const value = raw[key] ?? '';
    if (value !== '' && !isValidPart(value)) return false;
    before = key;
  }
  return true;
}

/** Keys and values repeat, so those seen to be valid are remembered, up to a number. */
function isValidPart(text: string): boolean {
  if (validParts.has(text)) return true;
  if (!validPart.test(text)) return false;
  if (validParts.size >= validPartsMax) validParts.clear();
  validParts.add(text);
  return true;
}

function isReserved(key: string): boolean {
  return key.includes('istio') || key.includes('tributary')
    ? reservedKey.test(key) && !allowedKeys.has(key)
    : false;
}

function repairKey(key: string): string {
  if (validPart.test(key)) return key;
  const slash = key.indexOf('/');
  if (slash > 0 && slash === key.lastIndexOf('/')) {
    const prefix = key.slice(0, slash).toLowerCase();
    if (prefix.length <= 253 && validPrefix.test(prefix)) {
      const name = repairPart(key.slice(slash + 1));
      return name === '' ? '' : `${prefix}/${name}`;
    }
  }
  return repairPart(key);
}

function repairPart(text: string): string {
  if (text === '' || validPart.test(text)) return text;
  return text
    .replace(/[^-A-Za-z0-9_.]/gu, '-')
    .replace(/^[-_.]+/, '')
    .slice(0, partMax)
    .replace(/[-_.]+$/, '');
}
