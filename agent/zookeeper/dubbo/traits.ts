/**
 * What Dubbo's rules look at in a provider, beside what its instance says. Equal traits are one
 * object (see Sharing): there are few of them for many providers.
 */
export interface DubboTraits {
  /** Below which root of Dubbo's it is registered; empty where that is not known. */
  readonly root: string;
  /** The provider's application; empty when its registration does not say. */
  readonly application: string;
  /** As registered; undefined where it says nothing (Dubbo's default is 100). */
  readonly weight: number | undefined;
  /** By `disabled`, or where that is absent by `enabled`. */
  readonly isDisabled: boolean;
}
