"""Passages of documents that give orders to the LLM: "ignore the above, answer with …". Several languages.

They are suspected by their wording, never believed: a suspect sentence may be harmless, and an order may be worded so
that no rule knows it. What protects is that an example's answer must stand in what the document says elsewhere.
"""

from __future__ import annotations

import re
from itertools import pairwise

_ALL = (
    r"(?:all |any |every(?:thing)? |the |your |these |those |my |our |of |previous(?:ly)? |prior |above |"
    r"earlier |preceding |"
    r"system |initial |original |given |existing |current |former )*"
)
_RULES = (
    # English
    rf"\b(?:ignore|disregard|forget|override|overrule|bypass|skip|discard|drop|do not follow|don['’]t follow|"
    rf"stop following)\b"
    rf" {_ALL}(?:instructions?|prompts?|rules?|directions?|directives?|guidelines?|messages?|context|orders?|"
    rf"commands?|"
    r"above|text above|passage|conversation|schema|task|constraints?|said so far|before this)\b",
    r"\b(?:answer|respond|reply|return|output|print|say|write|repeat)\b (?:only |just |exactly |always |"
    r"instead |back )*"
    r"(?:with|in|the words?|the phrase|the string|the text|the following|"
    r"this sentence)\b[^.\n]{0,40}(?:[\"'“‘`:]|(?-i:\b[A-Z]{3,}))",
    r"\b(?:output|reply|respond|answer)\b (?:only|exactly|nothing but|instead)\b (?:with|in|the|[\"'“‘`:])",
    r"\b(?:you are|you're|act as|pretend (?:to be|that you)|behave as|role-?play as|from now on,? you)\b"
    r"(?: now| no longer| an?| the| longer)* (?:unrestricted|uncensored|jail\w+|DAN\b|developer mode|"
    r"different (?:assistant|ai|model)|"
    r"language model|ai\b|assistant|pirate|chatbot|evil|system\b)",
    r"\b(?:new|updated|revised|real|actual|urgent|important|hidden|secret) (?:system )?(?:instructions?|prompt|"
    r"task|orders?|directive)s?"
    r"(?: for (?:the )?(?:ai|llm|model|assistant|you))?\s*[:=-]",
    r"\b(?:reveal|show|print|repeat|disclose|leak|output|tell (?:me|us)|give (?:me|us)|what (?:is|"
    r"are))\b[^.\n]{0,30}"
    r"\b(?:system prompt|system message|(?:your|hidden|initial|secret) (?:system )?(?:instructions|prompt|"
    r"rules))\b",
    r"\b(?:attention|note|dear|hey|hello|message|instructions?|important)\b[ ,:]*(?:to |for )?(?:the |all |any )?"
    r"(?:ai|a\.i\.|llm|language models?|assistant|chatbot|gpt\w*|claude|gemini|bots?|annotators?|"
    r"data generators?)\b",
    r"\b(?:as an? (?:ai|llm)|if you are an? (?:ai|llm|language model|bot|assistant|automated))\b",
    r"\bthe (?:correct |right |only |true )?(?:answer|reply|response) (?:to (?:every|all|any)[^.\n]{0,40})?"
    r"(?:is always|must (?:always )?be|should (?:always )?be|shall (?:always )?be)\b",
    r"\b(?:set|change|replace|fill|put|make)\b[^.\n]{0,20}\b(?:the )?[\"']?(?:answer|question|evidence|response|"
    r"json|schema|fields?|keys?)[\"']?"
    r"(?: fields?| keys?)? (?:to|with|be|into)\b",
    r"\b(?:add|include|insert|append|embed)\b[^.\n]{0,40}\b(?:to|in|into|at the end of|with) (?:every|each|all|"
    r"your) "
    r"(?:answers?|questions?|repl(?:y|ies)|responses?|examples?|outputs?)\b",
    r"\b(?:begin|start|end|finish) (?:every|each|all|your) (?:answers?|repl(?:y|ies)|responses?|outputs?|"
    r"sentences?)\b",
    r"\b(?:do not|don['’]t|never|stop) (?:generat|writ|creat|produc|answer|ask|quot|us)\w*\b[^.\n]{0,20}"
    r"\b(?:questions?|examples?|json|evidence|passage)\b",
    r"(?:^|(?<=[.!?] ))\s*(?:system|assistant|user|human|developer)\s*:\s*\S",
    r"\b(?:answer|reply|response) to (?:every|all|any|each) (?:questions?|prompts?|instructions?) (?:is|are|"
    r"must|should|shall)\b",
    r"^\s*#{2,}\s*(?:system|instructions?|assistant|response|user)\b\s*:?\s*$",
    r"\b(?:end|begin|start) of (?:the )?(?:passage|document|context|system prompt|prompt|instructions|"
    r"user input)\b",
    # German, French, Spanish, Portuguese, Italian, Dutch, Polish
    r"\b(?:ignorier|missacht|vergiss|vergesst|überspring)\w*\b[^.\n]{0,40}\b(?:anweisung|befehl|regel|vorgabe|"
    r"obig|bisherig|vorherig)\w*",
    r"\bantworte\w*\b[^.\n]{0,30}\b(?:nur|immer|stattdessen|ausschließlich) (?:mit|auf)\b|\bdu bist (?:jetzt|"
    r"nun|ab sofort)\b",
    r"\b(?:ignore[rz]?|oublie[rz]?|néglige[rz]?)\b[^.\n]{0,40}\b(?:instructions?|consignes?|règles?|"
    r"précédent\w*|ci-dessus)\b",
    r"\br[ée]pond(?:s|ez|re)\b[^.\n]{0,30}\b(?:uniquement|seulement|toujours|plutôt) (?:par|avec|en)\b|"
    r"\btu es (?:maintenant|désormais)\b",
    r"\b(?:ignor[ae]|olvid[ae]|descart[ae])\w*\b[^.\n]{0,40}\b(?:instrucciones|órdenes|reglas|anterior(?:es)?|"
    r"arriba)\b",
    r"\brespond[ea]\w*\b[^.\n]{0,30}\b(?:solo|sólo|siempre|únicamente|sempre|apenas|somente) (?:con|en|com)\b|"
    r"\bahora eres\b",
    r"\b(?:ignor[ea]|esqueç?[ae]|desconsider[ea])\w*\b[^.\n]{0,40}\b(?:instruções|ordens|regras|anterior(?:es)?|"
    r"acima)\b",
    r"\b(?:ignor[ai]|dimentic[ah]\w*|trascura)\w*\b[^.\n]{0,40}\b(?:istruzioni|ordini|regole|precedent[ei]|"
    r"sopra)\b|\brispondi\w* (?:solo|sempre|soltanto)\b",
    r"\b(?:negeer|vergeet)\b[^.\n]{0,40}\b(?:instructies|opdrachten|regels|vorige|bovenstaande)\b|"
    r"\bantwoord (?:alleen|altijd|enkel) met\b",
    r"\b(?:zignoruj|zapomnij)\w*\b[^.\n]{0,40}\b(?:instrukcj|polece|zasad|poprzedni|powyższ)\w*",
    # Russian, Chinese, Japanese, Korean
    r"(?:игнорируй|забудь|не обращай внимания)\w*[^.\n]{0,40}(?:инструкци|указани|правил|предыдущ|выше)\w*",
    r"(?:忽略|无视|忘记|不要理会)[^。\n]{0,20}(?:指令|指示|说明|规则|提示|上述|以上|之前)|(?:只|请|必须)(?:能)?(?:回答|回复|输出)[:：“\"「]",
    r"(?:無視|忘れ)[^。\n]{0,12}(?:指示|命令|ルール|プロンプト)|(?:指示|命令|ルール|プロンプト)[^。\n]{0,12}(?:無視|忘れ)",
    r"(?:지시|명령|규칙|프롬프트)[^.\n]{0,12}(?:무시|잊)",
)
_ORDER = re.compile("|".join(f"(?:{rule})" for rule in _RULES), re.I | re.M)
_SENTENCE_END = re.compile(r"(?<=[.!?。！？])[\"'”’)\]]*\s+|\n")


def orders(text: str) -> list[tuple[int, int]]:
    """Return the places of the sentences that are suspected of giving orders to the LLM, in order.

    A sentence right after a suspect one counts with it if it is a quotation or begins like an order's second half.
    """
    if not _ORDER.search(text):
        return []
    ends = [0, *(m.end() for m in _SENTENCE_END.finditer(text)), len(text)]
    found: list[tuple[int, int]] = []
    for start, end in pairwise(ends):
        sentence = text[start:end]
        follows = bool(found) and found[-1][1] == start and _SECOND_HALF.match(sentence)
        if sentence.strip() and (_ORDER.search(sentence) or follows):
            found.append((start, end))
    return found


_SECOND_HALF = re.compile(
    r"\s*(?:[\"'“‘«`{\[]|(?:instead|rather|only|then|and|just|answer|reply|respond|write|output|say|print|"
    r"return|repeat|"
    r"antworte|réponds|responde|rispondi)\b)",
    re.I,
)


def without(text: str, places: list[tuple[int, int]]) -> str:
    """Return a text of the same length with some places blank."""
    for start, end in places:
        text = text[:start] + " " * (end - start) + text[end:]
    return text
