"""Words and values for documents; one word in six is reserved for the test split."""

import random
from zlib import crc32

_LABELS = """Total, Subtotal, Tax, VAT, Discount, Amount due, Balance, Price, Shipping, Deposit,
Tip, Net, Gross, Fee, Rent, Salary, Bonus, Invoice, Invoice no, Order, Order no, Customer,
Customer no, Account, Reference, Receipt no, Ticket, Booking, Policy, Contract, Project, Task,
Case no, Serial, Model, Version, Build, Part no, Batch, Lot, Date, Due date, Issued, Expires,
Start, End, Born, Year, Month, Time, Arrival, Departure, Name, First name, Last name, Owner,
Manager, Author, Editor, Contact, Agent, Doctor, Patient, Student, Teacher, Driver, Company,
Department, Team, Group, Office, Branch, Street, City, Town, Country, State, Region, Postcode,
Address, Phone, Fax, Email, Website, Room, Floor, Seat, Gate, Platform, Weight, Height, Length,
Width, Depth, Size, Colour, Material, Quantity, Speed, Power, Voltage, Pressure, Temperature,
Humidity, Score, Grade, Rank, Level, Priority, Status, Type, Category, Class, Language, Currency,
Payment, Method, Bank, Subject, Topic, Remarks, Source, Target, Origin, Destination,
Carrier, Vehicle, Plate, Mileage, Fuel, Insurance, Warranty"""
_SETTINGS = """Dark mode, Wi-Fi, Bluetooth, Location, Sounds, Updates, Backup, Sync,
Notifications, Autosave, Spell check, Cookies, Pop-ups, Scripts, Images, Cache, History, Airplane
mode, Vibration, Screen lock, Night light, Auto rotate, Battery saver, Hotspot, Roaming,
Captions, Subtitles, Zoom, Grid, Ruler, Toolbar, Sidebar, Status bar, Word wrap, Line numbers,
Minimap, Animations, Telemetry, Crash reports, Beta channel, Proxy, Firewall, Encryption, Remote
access, Guest login, Auto login, Double click, Natural scroll, Sticky keys, High contrast,
Narrator, Mono audio, Preview, Thumbnails, Fast start, Private mode, Safe search, Tooltips, Badges,
Read aloud, Dictation, Gestures, Haptics, Mirroring, Casting, Indexing, Debugging, Shadows,
Transparency, Smooth edges, Tab groups, Split view, Auto update, Low power, Read receipts, Typing
sounds, Stereo, Surround, Overlay, Auto fill, Key repeat, Quick reply, Offline mode"""
_BUTTONS = """OK, Cancel, Apply, Save, Close, Open, Print, Delete, Send, Submit, Next, Back,
Finish, Retry, Ignore, Abort, Yes, No, Help, Browse, Reset, Edit, Add, Remove, Copy, Paste,
Install, Update, Skip, Continue, Accept, Decline, Sign in, Log out, Search, Upload, Download,
Share, Connect, Rename, Undo, Redo, Exit, Quit, Start, Stop, Pause, Resume, Play, Record, Refresh,
Reload, Restart, Restore, Export, Import, Select, Clear, Confirm, Dismiss, Details, More, Less,
Previous, First, Last, Up, Down, Allow, Deny, Block, Reply, Forward, Archive, Publish, Register,
Subscribe, Pay, Checkout, Book, Test, Verify, Repair, Scan, Move, Replace, Format, Login"""
_TITLES = """Invoice, Receipt, Order form, Delivery note, Packing list, Price list, Timesheet,
Report, Summary, Statement, Quotation, Application, Registration, Membership, Inventory,
Schedule, Agenda, Minutes, Checklist, Settings, Preferences, Options, Properties, Warning, Error,
Confirm, Question, Export, Import, Print setup, Page layout, New project, Find, Replace, Account
details, Profile, Travel plan, Lab results, Survey, Budget, Forecast, Menu, Contents, Team list,
Opening hours, Quick start, Release notes, Shopping list, To do, Results, Rankings, Network,
Printers, Storage"""
_THINGS = """Apple, Banana, Bread, Butter, Cheese, Coffee, Tea, Sugar, Salt, Pepper, Rice, Pasta,
Milk, Honey, Orange, Lemon, Grapes, Onion, Carrot, Potato, Tomato, Beans, Eggs, Fish, Chicken,
Paper, Pen, Pencil, Folder, Stapler, Printer, Monitor, Keyboard, Mouse, Cable, Battery, Charger,
Lamp, Chair, Desk, Shelf, Table, Carpet, Curtain, Mirror, Clock, Kettle, Toaster, Spoon, Fork,
Knife, Plate, Bowl, Cup, Glass, Bottle, Hammer, Screw, Nail, Drill, Ladder, Paint, Brush, Bucket,
Rope, Tape, Glue, Bolt, Pump, Filter, Valve, Tyre, Engine, Brake, Wheel, Helmet, Gloves, Jacket,
Shirt, Shoes, Socks, Scarf, Hat"""
_PEOPLE = """Anna, Ben, Clara, David, Elena, Felix, Grace, Henry, Irene, Jack, Karen, Liam,
Maria, Noah, Olivia, Peter, Quinn, Rosa, Simon, Tina, Ursula, Victor, Wendy, Xavier, Yusuf, Zoe,
Adam, Bella, Carlos, Diana, Emil, Fiona, George, Hanna, Ivan, Julia, Kevin, Laura, Marco, Nina,
Oscar, Paula, Ralf, Sara"""
_SURNAMES = """Adams, Baker, Costa, Dietrich, Evans, Fischer, Garcia, Hansen, Ito, Jensen, Kumar,
Lopez, Meyer, Novak, Olsen, Patel, Quist, Rossi, Schmidt, Tanaka, Ueda, Vogel, Weber, Xu, Young,
Zhang, Brown, Clark, Doyle, Ford, Grant, Hughes, Keller, Lange, Moore, Nolan, Price, Reid, Stone,
Turner, Walsh"""
_CITIES = """London, Paris, Berlin, Madrid, Rome, Vienna, Prague, Oslo, Lisbon, Dublin, Athens,
Warsaw, Zurich, Geneva, Munich, Hamburg, Boston, Chicago, Denver, Austin, Seattle, Toronto, Lima,
Quito, Cairo, Tokyo, Osaka, Seoul, Delhi, Mumbai, Sydney, Perth, Leeds, York, Bath, Lyon, Nice,
Turin, Milan, Ghent, Bergen, Malaga, Porto, Seville, Naples, Venice, Bologna, Graz, Basel, Lucerne,
Cologne, Bremen, Dresden, Leipzig, Nantes, Dijon, Lille, Bruges, Utrecht, Delft, Aarhus, Malmo,
Turku, Riga, Vilnius, Krakow, Brno, Zagreb, Split, Sofia, Bucharest, Ankara, Izmir, Haifa, Amman,
Doha, Nairobi, Accra, Lagos, Dakar, Tunis, Bogota, Havana, Montreal, Calgary, Dallas, Houston"""
_COLUMNS = """Item, Qty, Price, Total, Unit, Code, Date, Size, Stock, Rate, Hours, Cost, Mon,
Tue, Wed, Thu, Fri, Jan, Feb, Mar, Apr, May, Jun, North, South, East, West, Min, Max, Mean, Sum,
Score, Rank, Age, Q1, Q2, Q3, Q4, 2021, 2022, 2023, 2024, Home, Away, Won, Lost, Points, Weight,
Height, Start, End, Room, Time, Net, Gross, Tax, Fee, Type, Class, Level, Week, Day, Year, Left,
Right, In, Out, Paid, Due, Low, High, Open, Close, Input, Output, Pass, Fail, Mass, Area, Volume,
Width, Depth, Speed, Power, Load, Lap, Set, Grade, Zone, Shift, Plan, Real, Diff, Share, Used, Free,
Jul, Aug, Sep, Sat, Sun, A, B, C, D, 2018, 2019, 2020, 2025, 2026"""
_TOTALS = """Total, Amount due, Balance, Total due, Grand total, Net total, To pay, Amount, Total
price, Sum total, Overall, Final amount, Payable, Total cost, Balance due, Total amount, Altogether,
Total to pay, Full price, Amount payable, Invoice total, Order total, Bill total, Total charge"""
_ENTRIES = """New, Open, Save as, Page setup, Undo, Redo, Cut, Select all, Go to, Find next, Full
screen, Zoom in, Zoom out, Insert row, Merge cells, Sort, Group, Align left, Centre, Bold,
Italic, Underline, Bookmarks, Extensions, Developer, Plug-ins, About, Check spelling, Word count,
Convert, Rotate, Crop, Flatten, Layers, Brightness, Export as, Share link, Move to, Duplicate,
Archive, Mark as read, Mute"""

_SYLLABLES = """ba, be, bo, da, de, do, fa, fi, ga, go, ha, he, jo, ka, ki, la, le, lo, ma, mi,
mo, na, ne, no, pa, pe, ra, ri, ro, sa, se, si, ta, te, to, va, vi, wa, za, zo, ch, sh, st, tr,
pl, gr"""
_SHARE_OF_OTHERS = 0.3
_ENDINGS = ["n", "r", "s", "l", "t", "x", "nd", "rt", "ck", "ns", "m"]


def _split(text: str) -> list[str]:
    return [" ".join(word.split()) for word in text.split(",")]


def is_for_test(word: str) -> bool:
    """Return whether a word is reserved for the test split."""
    return crc32(word.lower().encode()) % 6 == 0


class Words:
    """Draws words and values of one split.

    Args of the constructor:
        rng: decides.
        test: whether only those words are drawn that training never sees.
    """

    def __init__(self, rng: random.Random, test: bool) -> None:
        self._rng, self.test = rng, test

    def some(self, kind: str, count: int) -> list[str]:
        """Draw distinct words of a kind."""
        words = _KINDS[kind, self.test]
        drawn = self._rng.sample(words, min(count, len(words)))
        return list(dict.fromkeys(self._or_another(word) for word in drawn))

    def one(self, kind: str) -> str:
        """Draw one word of a kind."""
        return self._or_another(self._rng.choice(_KINDS[kind, self.test]))

    def _or_another(self, word: str) -> str:
        """In training often a word that is none of its kind, so that a list is not all it knows."""
        if self.test or self._rng.random() >= _SHARE_OF_OTHERS:
            return word
        other = self._rng.choice(_KINDS[self._rng.choice(_LISTS), False])
        first = self._rng.choice((self.made_up(), other))
        return self._rng.choice((first, first, f"{first} {self.made_up().lower()}"))

    def value(self) -> str:
        """Draw a value for a label."""
        makers = (
            (self.money, 5),
            (self.date, 3),
            (self.code, 4),
            (self.number, 3),
            (self.person, 3),
            (lambda: self.one("cities"), 2),
            (self.made_up, 4),
            (lambda: f"{self.made_up()} {self.made_up()}", 1),
            (lambda: self.one("things"), 2),
            (self.measure, 2),
            (self.address, 1),
        )
        (made,) = self._rng.choices([one for one, _ in makers], [share for _, share in makers])
        return made()

    def value_of(self, label: str) -> str:
        """Draw any value for a label, so that it must be read."""
        return self.value()

    def cell(self) -> str:
        """Draw a word for a table."""
        return self.made_up()

    def money(self) -> str:
        """Draw an amount, in one of several formats."""
        amount = f"{self._rng.choice((99, 999, 9999)) * self._rng.random():,.2f}"
        return self._rng.choice(("", "", "$", "£")) + amount + self._rng.choice(("", "", " EUR"))

    def number(self) -> str:
        """Draw an integer."""
        return str(self._rng.randrange(10 ** self._rng.randint(1, 5)))

    def date(self) -> str:
        """Draw a date, in one of several formats."""
        year, month, day = (self._rng.randint(*span) for span in ((1980, 2035), (1, 12), (1, 28)))
        names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        return self._rng.choice(
            (
                f"{year}-{month:02}-{day:02}",
                f"{day} {names[month - 1]} {year}",
                f"{day:02}.{month:02}.{year}",
                f"{month}/{day}/{year}",
                f"{self._rng.randrange(24):02}:{self._rng.randrange(60):02}",
            )
        )

    def code(self) -> str:
        """Draw a serial or article number."""
        letters = "".join(self._rng.choices("ABCDEFGHJKLMNPQRSTUVWXYZ", k=self._rng.randint(1, 3)))
        digits = "".join(self._rng.choices("0123456789", k=self._rng.randint(2, 6)))
        return letters + self._rng.choice(("-", "", " ", "/")) + digits

    def measure(self) -> str:
        """Draw a number with a unit."""
        number = self._rng.choice(
            (f"{self._rng.uniform(0, 99):.1f}", str(self._rng.randrange(500)))
        )
        return number + self._rng.choice((" kg", " cm", " m", "%", " kW", " l", " h", " MB"))

    def person(self) -> str:
        """Draw a name."""
        first, last = self.one("people"), self.one("surnames")
        return self._rng.choice((f"{first} {last}", first, f"{first[0]}. {last}"))

    def address(self) -> str:
        """Draw a mail, web or street address."""
        return self._rng.choice(
            (
                f"{self.made_up().lower()}@{self.made_up().lower()}.com",
                f"www.{self.made_up().lower()}.org",
                f"{self.made_up()} St {self._rng.randint(1, 99)}",
            )
        )

    def made_up(self) -> str:
        """Draw an invented word, which can only be read letter by letter."""
        word = "".join(self._rng.choices(_split(_SYLLABLES), k=self._rng.randint(1, 3)))
        word += self._rng.choice(_ENDINGS)
        return self._rng.choice((word.capitalize(), word.capitalize(), word, word.upper()))

    def sentence(self, most: int) -> str:
        """Draw several words."""
        words = [self._rng.choice((self.made_up, self.number, self.person))() for _ in range(most)]
        return " ".join(words[: self._rng.randint(1, most)])


_KINDS = {
    (kind, test): [word for word in _split(text) if is_for_test(word) == test]
    for test in (False, True)
    for kind, text in {
        "labels": _LABELS,
        "settings": _SETTINGS,
        "buttons": _BUTTONS,
        "titles": _TITLES,
        "things": _THINGS,
        "people": _PEOPLE,
        "surnames": _SURNAMES,
        "cities": _CITIES,
        "columns": _COLUMNS,
        "entries": _ENTRIES,
        "totals": _TOTALS,
    }.items()
}
_LISTS = tuple(dict.fromkeys(kind for kind, _ in _KINDS))
