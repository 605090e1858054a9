# SPDX-License-Identifier: Apache-2.0
"""The root of what the hub's parts refuse or cannot do.

The text of each error is one line that a resident may read. What a command, a page or an applet's
peer makes of it stands in the class: nobody keeps a list of errors beside this tree.

HubError
  CardRefusal                 the card will not do it
    AppletRefused             an applet, or the runtime for it, will not
      PeerBroke               an applet that another one called broke
  CertifierError              what keeps a day from being certified
    CorrectionRefused         what was certified cannot be corrected in this way
    KeyFileError              the certifier's keys cannot be read
    OutOfOrder                another day is due
    ReadingsRefused           readings of which no honest day can be made
  DatabaseError               the hub's database cannot be used
    DatabaseBusy              another process holds the database and does not let go
    NotAHubDatabase           the file is none of the hub's
    SchemaTooNew              a later version of the hub has written it
    TransactionUndone         the disk is full; all that was being written was taken back
  DiallingError               around the servers of recipients that the hub dials
    BrokenDown                a connection was not made, broke or fell silent
    RecipientError            certificate, key or address are not usable
      NoCertificate           the recipient has not issued one yet, or it is not installed
    SecurityFailed            TLS refused
  DeviceError                 the hub's folder is not one, or a part of it is not usable
  ForeignDays                 days were signed with another key than the certifier's
  FactRefused                 what is said of a meter cannot be certified
  FormerCustody               days were asked for that are of a custody before this one
  HandOverRefused             a hub cannot be handed over now
  InspectionError             there is nothing to inspect, or it cannot be read
    NoSuchMeter               no meter of the hub has this name
    ReaderTermsError          a reader of readings cannot be allowed this
    ResidentError             a resident cannot be added or changed as was asked
    WeakPassphrase            a passphrase is the first one that anybody would try
  InstallationError           a package cannot be built, installed or removed
  LoginRefused                a reader's login does not hold
  LogTampered                 the disclosure log is not what was written
  ListRefused                 a published list is of another signer, or not what it was before
  MachineError                around applets
    AppletFault               an applet broke; only its own instance is gone
    BundleError               a bundle is malformed, or not its vendor's
    CacheRefused              the cached native code is not what was written there
    ContractBroken            a component does not fit the platform's contract
    ManifestError             a manifest says something it may not
    RuntimeNotBuilt           there is no compiled runtime, and nothing to build it with
  NoTimeOfDay                 a capture has no moments, and nobody has said when it began
  NoTimeInTelegrams           the same of a meter that does not speak SML
  NotAcceptable               what was set aside cannot become a reading
  MeterTrustError             a meter certificate or a list of revocations is not one to go by
  PackageError                a file is not a CAP file with a bundle for this machine
  PeriodIncomplete            days of a period are not certified yet
  ReaderError                 the virtual reader cannot be reached
  ReleaseRefused              a release would break a rule
  ReplayError                 a file of readings cannot be replayed
  RoundsUnderWay              sums are not over whose keys a new vault key would change
  SealBroken                  what lies sealed is not what was written
  SecretFileError             a key file is missing, or not a secret
  ServiceError                the service cannot run, or cannot be asked
    ConfigurationRefused      hub.toml says something that the service cannot go by
    ServiceRunning            the hub's service runs, and this cannot be done beside it
  SimulationUnavailable       there is nothing to simulate a household with
  SmlIntakeError              a telegram is not of the meter that the hub is for
  UnknownOddTelegram          nothing that is set aside has this number
  UnknownConsent              no consent has this number
  UnsendableReading           no meter can send such a reading
  VaultError                  the sealed readings cannot be used
    DayAlreadyJournalled      a day is certified once
    ReadingRefused            a reading does not follow the one before it
    KeyReplaced               another process has given the hub a new key
    VaultTampered             what is sealed is not what was written
  WorkInProgress              a proof is being made; the question is to be asked again
  ApiRefused                  the programming interface answers no request like this
  BadInput                    what was sent is not what the page's form sends
  TokenRefused                a token is not one, or it was revoked
  TooManyAttempts             it is too soon after the last wrong passphrases
  TooManyJobs                 so much is being worked on that more would only be slower
  WrongParameter              a parameter of a request is not what it should be
"""


class HubError(Exception):
    """Base of all errors of the hub."""

    exit_code: int = 1
    """With which a command ends: 1 failure, 2 wrong use, 3 a verification failed, 4 it cannot be
    verified, 5 refused by consent or policy."""
    http_status: int = 409
    """With which a page or the programming interface answers."""
    status_word: int = 0x6F00
    """With which the card answers (ISO/IEC 7816-4, 5.6); this one gives no diagnosis."""
