"""Copy to tests/hub/card/test_zz.py and run pytest -s: hijack after hand-over; replay of a recorded owner's session."""
from tests.hub.card.test_key_hand_over import *
from protocols.iso7816.apdu import CommandApdu
from protocols.secure_channel.session import SecurityLevel
def test_hijack(field):
    keys = field.agree(KeyRequest(0x30, 16, WITH_RANDOM))
    mine = StaticKeys(b"\1"*16, b"\2"*16, b"\3"*16)
    print("operator's session of before, PUT KEY replaces 30:", hex(field.operator.put_keys(0x32, mine, replaces=0x30).sw))
    Manager(field.card, DOMAIN, mine)
    with pytest.raises(RemoteChannelError):
        Manager(field.card, DOMAIN, keys)
def test_replay(field):
    req = KeyRequest(0x30, 16, REPLACES); k1 = field.agree(req); rec = []
    conn = field.card.connect()
    def tx(raw):
        r = conn.transmit(raw); rec.append((raw, r)); return r
    c = CardClient(tx, max_data=255); c.select(DOMAIN); c.open_scp03(k1, b"HOSTCHAL", level=SecurityLevel(0x33))
    c.send(CommandApdu(0x80, 0xE2, 0x90, 0x00, Tlv(0x7F21, b"owner's object").encode(), None))
    iss = Manager(field.card)
    iss.sw("80E40080", bytes([0x4F, len(DOMAIN)]) + DOMAIN); iss.install_domain(DOMAIN)
    Manager(field.card, DOMAIN).ok(STORE, KeyOwner(req, EPHEMERAL).groups())
    conn2 = field.card.connect()
    assert all(conn2.transmit(raw) == r for raw, r in rec)
