/** Part of a registry that crossed the threshold: the whole registry (`service` empty) or a service. */
export interface Activation {
  readonly service: string;
  /** For the operator: how many of how many, within what time, and the limit. */
  readonly evidence: string;
}

/** A held part, for status pages. */
export interface HeldPart extends Activation {
  readonly losses: number;
  /** When the first of them falls due. */
  readonly dueAt: number;
  /** Who was asked about the held losses last and what they said, or empty. */
  readonly witnesses: string;
}

/** How held losses came to their end. */
export type HoldEnd = 'back' | 'confirmed' | 'time' | 'released';

/** A part of which nothing is held any more, and how many of its losses ended in which way. */
export interface EndedHold extends Activation {
  readonly ends: Readonly<Record<HoldEnd, number>>;
  /** What the witnesses said last, or empty. */
  readonly witnesses: string;
}

interface Part {
  readonly evidence: string;
  losses: number;
  readonly ends: Record<HoldEnd, number>;
}

/** What a guard holds, counted by part: from the first loss of a part that is held to the last one's end. */
export class Holds {
  private readonly parts = new Map<string, Part>();
  private ended: EndedHold[] = [];
  private total = 0;
  private testimony = '';

  /** How many losses are held. */
  get count(): number {
    return this.total;
  }

  /** One more is held. Returns whether it is the first of its part. */
  add(service: string, evidence: string): boolean {
    this.total += 1;
    const part = this.parts.get(service);
    if (part !== undefined) {
      part.losses += 1;
      return false;
    }
    const ends = { back: 0, confirmed: 0, time: 0, released: 0 };
    this.parts.set(service, { evidence, losses: 1, ends });
    return true;
  }

  /** One of a part is held no more. */
  end(service: string, how: HoldEnd): void {
    const part = this.parts.get(service);
    if (part === undefined) return;
    this.total -= 1;
    part.losses -= 1;
    part.ends[how] += 1;
    if (part.losses > 0) return;
    this.parts.delete(service);
    const { evidence, ends } = part;
    this.ended.push({ service, evidence, ends, witnesses: this.testimony });
    if (this.total === 0) this.testimony = '';
  }

  /** What the witnesses say of all that is held; forgotten when nothing is held. */
  testify(testimony: string): void {
    this.testimony = this.total === 0 ? '' : testimony;
  }

  /** @param dueAt when the first loss of each part falls due */
  held(dueAt: ReadonlyMap<string, number>): readonly HeldPart[] {
    return Array.from(this.parts, ([service, { evidence, losses }]) => ({
      service,
      evidence,
      losses,
      dueAt: dueAt.get(service) ?? 0,
      witnesses: this.testimony,
    }));
  }

  /** The parts whose last loss has come to its end since the last call. */
  takeEnded(): readonly EndedHold[] {
    const { ended } = this;
    this.ended = [];
    return ended;
  }
}
