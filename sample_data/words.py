"""The running text of the pages."""


def _joined(block):
    return " ".join(block.split())


GUIDE = [
    _joined(part)
    for part in (
        """A rain gauge is the simplest instrument a garden can own. It is a straight cup with a
        scale, set level and open to the sky, and it answers one question: how much water fell
        since somebody last looked. The cup does not care about wind speed or cloud names. It
        only asks that you come back at the same hour and read it before you empty it.""",
        """The first reading is rarely the right one. New gauges are placed where it is easy to
        walk rather than where the rain falls freely, and a hedge or a gutter can hide a third
        of a summer storm. Move the post until the nearest obstacle is at least twice its own
        height away, and write down the day of the move, because every later comparison depends
        on it.""",
        """“Read at eye level, write before you pour, and never correct yesterday’s line to make
        today’s look better.”""",
        """A dry day is a reading too. Write a zero and not a dash: a dash says that nobody
        looked, and ten years later nobody will remember which of the two was meant. When a
        reading was missed, leave the line empty and note the total on the next one with a
        bracket that spans both days.""",
        """Snow needs patience. Bring the cup indoors, let the contents melt slowly under a
        cover, and measure the water that is left.* The depth of the snow on the lawn belongs in
        a second column, because the two numbers change places from storm to storm.""",
        """Keep the log where the gauge is read, not where it is typed in. A pencil on a string
        survives more winters than any program, and a page that got wet once is still a page.
        Copy it out at the end of each month and add the twelve totals when the year is over.""",
    )
]

GUIDE_LIST = [
    "Empty the cup completely, then shake off the last drops.",
    "Check that the rim is level with a coin-sized spirit level.",
    "Wipe dust, leaves and spider threads from the funnel.",
    "Note the hour, the reading and who took it.",
]

PAPER_ABSTRACT = _joined(
    """Six gauges of the same make stood on six flat roofs for one season. We compare their daily
    totals, describe how often two neighbours disagree by more than two millimetres, and give a
    short rule for choosing a place. All numbers on this page are invented for illustration."""
)

PAPER_LEFT = [
    (
        "1  Introduction",
        """Flat roofs are attractive places for small instruments: they are quiet, level and
        seldom visited. They are also windy at the edges, and a gust that lifts over a parapet
        carries drops past the funnel. The loss is small in drizzle and large in the short heavy
        showers that make up most of a season’s total.""",
        """We placed one gauge near the middle of each roof and left it there from the first week
        of spring to the last week of autumn. Nobody moved, cleaned or replaced a gauge without a
        note in the log.""",
    ),
    (
        "2  Method",
        """Each gauge was read at eight in the morning. Readings below a tenth of a millimetre
        count as dry. A day enters the comparison only when all six readings exist, which leaves
        one hundred and sixty-eight days.""",
        """For every pair of roofs we take the absolute difference of the daily totals and report
        the share of days above two millimetres. Table 1 lists the height of each roof together
        with its seasonal total.""",
    ),
]

PAPER_RIGHT = [
    (
        "3  Results",
        """The totals agree within nine per cent. The two highest roofs collected the least
        water, as expected, and the sheltered courtyard collected the most. Disagreement is
        concentrated in a few days: half of the summed difference comes from only eleven
        storms.""",
        """Removing those storms lowers the share of doubtful pairs from one in seven to one in
        thirty. The order of the roofs does not change.""",
    ),
    (
        "4  Discussion",
        """A parapet helps when the gauge stands at least three times its height away from it,
        and hurts when it stands closer. We did not test screens. A second season with two
        gauges on each roof would show how much of the difference belongs to the place and how
        much to the cup.""",
    ),
]
PAPER_LEFT = [(title, *map(_joined, parts)) for title, *parts in PAPER_LEFT]
PAPER_RIGHT = [(title, *map(_joined, parts)) for title, *parts in PAPER_RIGHT]

REFERENCES = [
    "[1] Notes on level ground. Garden leaflet 4.",
    "[2] Wind over low walls. Workshop handout, 12 pages.",
    "[3] How to keep a daily log. Club paper 31.",
]

MINUTES = [
    _joined(part)
    for part in (
        """The meeting opened at seven in the evening with nine members present. The minutes of
        the previous meeting were read and accepted without changes. The chair thanked everyone
        who helped to repair the fence after the spring storm.""",
        """The treasurer reported a balance of 412.60 at the end of the month. Seeds and string
        cost 38.15, the new tap cost 64.00, and the plant sale brought in 129.50. The report was
        accepted.""",
        """Members discussed whether the shared shed needs a second lock. It was agreed to try a
        list at the door for two months and to count the tools at the end of each week. A lock
        will be bought only if something goes missing.""",
        """The watering plan for the dry weeks was settled. Beds one to eight are watered on
        Mondays and Thursdays, beds nine to sixteen on Tuesdays and Fridays. Nobody waters at
        noon. The barrel behind the shed is kept for seedlings.""",
        """A request for a second bench under the plum tree was read out. The group for wood and
        paint will say what it costs and whether the old planks can be used again. The bench
        should be wide enough for three and low enough for children.""",
        """The open day takes place in the middle of June. The tent is borrowed, the tables are
        our own. Everybody brings one plant for the exchange and writes its name on a label
        before it leaves the house.""",
        """The log of the rain gauge was shown around. May was wetter than the four before it,
        and the barrel ran over on two days. Next year’s plan should add a second barrel.""",
        """Any other business: the wheelbarrow has a flat tyre, the notice board needs a new
        pane, and the compost course takes place on the second Saturday. The meeting closed at
        a quarter past eight.""",
    )
]

MAIL_BODY = [
    _joined(part)
    for part in (
        """Hello everyone,""",
        """the reading room will be closed on Thursday morning while the new shelves are fitted.
        The desk on the ground floor stays open and can hand out anything that was reserved
        before Wednesday noon.""",
        """Please take personal things out of the lockers in the corridor. Lockers 12 to 30 will
        be moved to the other wall and cannot be opened during the work.""",
        """The plan of the new room is attached. The numbers of the desks stay as they are.""",
        """Thank you for your patience,""",
        """Reading room desk""",
    )
]
