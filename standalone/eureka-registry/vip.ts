import type { Lease } from './model.ts';

/** A (secure) virtual address by which instances are asked for. */
export interface Vip {
  readonly isSecure: boolean;
  readonly address: string;
}

/** The name under which a list of the instances of a VIP address is cached. */
export function vipEntity({ isSecure, address }: Vip): string {
  return `${isSecure ? 'svip' : 'vip'}:${address}`;
}

/** The opposite of `vipEntity`; undefined for what is no such name. */
export function vipOf(entity: string): Vip | undefined {
  const [, kind, address] = /^(s?vip):(.*)$/s.exec(entity) ?? [];
  return address === undefined ? undefined : { isSecure: kind === 'svip', address };
}

/** Whether an instance has the address in its list, which is separated by commas. */
export function hasVip({ registration: { texts } }: Lease, { isSecure, address }: Vip): boolean {
  const listed = (isSecure ? texts.secureVipAddress : texts.vipAddress) ?? '';
  return listed.split(',').includes(address);
}
