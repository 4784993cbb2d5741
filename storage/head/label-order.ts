/**
 * The order of label sets, told from their canonical bytes: pair by pair, name before value, by the bytes
 * of the strings; a prefix sorts first. The same order as `compareLabels`, without making strings.
 */

/** Hot: compares the label sets in `a[aFrom..aTo)` and `b[bFrom..bTo)`, which are canonical. */
export function compareLabelBytes(
  a: Uint8Array,
  aFrom: number,
  aTo: number,
  b: Uint8Array,
  bFrom: number,
  bTo: number,
): number {
  let i = aFrom;
  let k = bFrom;
  while (i < aTo && k < bTo) {
    let aLength = a[i++]!;
    let bLength = b[k++]!;
    if (aLength >= 0x80) {
      aLength &= 0x7f; // a length of several bytes, low ones first
      for (let shift = 7, byte = 0x80; byte >= 0x80; shift += 7) {
        byte = a[i++]!;
        aLength |= (byte & 0x7f) << shift;
      }
    }
    if (bLength >= 0x80) {
      bLength &= 0x7f;
      for (let shift = 7, byte = 0x80; byte >= 0x80; shift += 7) {
        byte = b[k++]!;
        bLength |= (byte & 0x7f) << shift;
      }
    }
    const common = aLength < bLength ? aLength : bLength;
    for (let n = 0; n < common; n++) {
      const order = a[i + n]! - b[k + n]!;
      if (order !== 0) return order;
    }
    if (aLength !== bLength) return aLength - bLength;
    i += aLength;
    k += bLength;
  }
  return aTo - i - (bTo - k);
}
