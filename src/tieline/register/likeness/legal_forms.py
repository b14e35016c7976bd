"""The legal forms of firms, by what they mean, in the letters of their countries."""

from __future__ import annotations

from collections.abc import Mapping

# One kind of firm a line: a form that a system writes short and another in full is the same form.
# Forms that are whole words of a language are listed only where they stand at the end of a name.
FORMS: Mapping[str, tuple[str, ...]] = {
    "limited": (
        "ltd", "limited", "ltda", "limitada", "lda", "limitee", "ltee", "pty ltd", "pty limited",
        "proprietary limited", "pvt ltd", "private limited", "pte ltd", "pte limited", "pvt limited",
        "co ltd", "company limited", "sdn bhd", "gmbh", "gesellschaft mit beschraenkter haftung",
        "gesellschaft mit beschrankter haftung", "gesmbh", "mbh", "ug", "ug haftungsbeschrankt",
        "sarl", "societe a responsabilite limitee", "eurl", "srl", "societa a responsabilita limitata",
        "srls", "sociedad de responsabilidad limitada", "s de rl", "s de rl de cv", "sl", "slu",
        "sociedad limitada", "sociedade limitada", "bv", "besloten vennootschap", "bvba", "sprl",
        "aps", "anpartsselskab", "oy", "osakeyhtio", "ou", "osauhing", "sia", "uab",
        "sp z oo", "spolka z oo", "spolka z ograniczona odpowiedzialnoscia", "sro", "s r o",
        "spol s ro", "spol sro", "doo", "d o o", "dooel", "kft", "korlatolt felelossegu tarsasag",
        "epe", "ike", "eood", "ood", "ehf", "ooo", "tov", "tzov", "llp", "llc", "lc", "l l c", "pllc",
        "limited liability company", "limited liability partnership", "w l l", "wll", "fz llc",
        "fzco", "fze", "bm", "b m", "tnhh", "cong ty tnhh", "trach nhiem huu han", "ltd sti", "ltd sirketi",
        "limited sirketi", "too", "mchj", "sagl",
        "Общество с ограниченной ответственностью", "Товариство з обмеженою відповідальністю",
        "ΕΠΕ", "ΙΚΕ", 'בע"מ', "ذ م م",
    ),
    "stock": (
        "ag", "aktiengesellschaft", "sa", "societe anonyme", "sociedad anonima", "sociedade anonima",
        "spa", "societa per azioni", "nv", "naamloze vennootschap", "plc", "public limited company",
        "ab", "aktiebolag", "ab publ", "publ", "as", "asa", "aksjeselskap", "allmennaksjeselskap",
        "aktieselskab", "oyj", "julkinen osakeyhtio", "inc", "incorporated", "corp", "corporation",
        "se", "societas europaea", "kgaa", "sas", "sasu", "societe par actions simplifiee", "sca",
        "sa de cv", "sab de cv", "sapi de cv", "sab", "saa", "sac", "spolka akcyjna", "akciova spolecnost",
        "dd", "ad", "a d", "eood ad", "nyrt", "zrt", "rt", "ae", "hf", "ohf", "pao", "oao", "zao", "ao",
        "pat", "prat", "at", "tbk", "bhd", "berhad", "pcl", "public company limited", "jsc", "ojsc",
        "cjsc", "pjsc", "pjs", "psc", "saog", "saoc", "sae", "sal", "a s", "anonim sirketi", "kk", "k k",
        "kabushiki kaisha", "kabushikigaisha", "yk", "gk", "joint stock company", "cong ty co phan",
        "Открытое акционерное общество", "Закрытое акционерное общество",
        "Публичное акционерное общество", "Акционерное общество", "Публічне акціонерне товариство",
        "Приватне акціонерне товариство", "ΑΕ", "Ανώνυμη Εταιρεία", "ش م ل", "ش م ع",
    ),
    "partnership": (
        "kg", "gmbh co kg", "gmbh and co kg", "gmbh und co kg", "gmbh u co kg", "ag co kg", "ug co kg",
        "ag and co kg", "se co kg", "mbh co kg", "ohg", "gbr", "partg", "partgmbb", "partg mbb",
        "snc", "scs", "commv", "comm v", "vof", "cv", "maatschap", "lp", "l p", "lllp", "limited partnership",
        "general partnership", "hb", "handelsbolag", "kb", "kommanditbolag", "ky", "ay", "ans", "da",
        "i s", "k s", "p s", "sp j", "sp k", "spolka jawna", "spolka komandytowa", "sp zoo sp k", "vos",
        "bt", "kkt", "oe", "ee", "sc", "scp", "sep", "scop", "co kg",
    ),
    "person": ("ek", "e k", "e kfm", "eu", "e u", "eenmanszaak", "ip", "ИП", "fop", "ФОП", "ei", "eirl", "dba"),
    "member": (
        "ev", "eg", "e v", "e g", "eingetragener verein", "eingetragene genossenschaft", "asbl", "vzw", "aisbl",
        "ry", "scrl", "cvba", "scarl", "coop", "amba", "stiftung", "stichting", "cic", "cio", "gie", "geie",
    ),
    "company": ("co", "company", "and co", "and company", "cie", "et cie", "y cia", "cia", "compagnie", "und co", "u co"),
}  # fmt: skip

# Written before the name as well as after it.
LEADING = frozenset(
    "ooo oao zao pao ao too tov pat prat fop ip pt cv ud uab sia as ab oy ou kk gk yk sa spa srl nv"
    " bv ae epe".split()
)

# Scripts without spaces: they stand at either end of a name, or in brackets.
UNSPACED: tuple[tuple[str, str], ...] = (
    ("股份有限公司", "stock"), ("有限责任公司", "limited"), ("有限責任公司", "limited"),
    ("集团有限公司", "limited"), ("有限公司", "limited"), ("株式会社", "stock"), ("株式會社", "stock"),
    ("有限会社", "limited"), ("合同会社", "limited"), ("合資会社", "partnership"),
    ("合名会社", "partnership"), ("一般社団法人", "member"), ("(株)", "stock"), ("(有)", "limited"),
    ("주식회사", "stock"), ("유한회사", "limited"), ("(주)", "stock"), ("(유)", "limited"),
    ("จำกัด", "limited"), ("มหาชน", "stock"), ("บริษัท", "company"), ("公司", "company"),
)  # fmt: skip
